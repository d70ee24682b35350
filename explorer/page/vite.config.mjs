import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

// One script and one sheet under names that do not change: they are embedded in the program, and have a tag of their own there.
// The same source and lock give the same bytes on every machine.
export default defineConfig({
  base: "/explorer/",
  resolve: {
    alias: { "@dovetail/verifier": fileURLToPath(new URL("../verifier/src/index.ts", import.meta.url)) },
    dedupe: ["@noble/curves", "@noble/hashes"],
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    outDir: process.env.EXPLORER_OUT ?? "dist",
    emptyOutDir: true,
    assetsDir: "assets",
    modulePreload: false,
    cssCodeSplit: false,
    reportCompressedSize: false,
    rollupOptions: {
      output: {
        entryFileNames: "assets/explorer.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: (asset) => (asset.names.some((name) => name.endsWith(".css")) ? "assets/explorer.css" : "assets/[name][extname]"),
        codeSplitting: false,
      },
    },
  },
});
