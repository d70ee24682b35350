// The browser that looks at explorers: the one that is named, or the system's.

import { existsSync } from 'node:fs';

export const BROWSER = process.env.DOVETAIL_CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
