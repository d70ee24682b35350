// Charts of the last hour as plain SVG: bars or lines over time, told once more in words.
interface Series {
  name: string;
  values: (number | null)[];
}

const WIDTH = 480;
const HEIGHT = 120;
const LEFT = 40;

export function Chart({ title, unit, series, begin, end }: { title: string; unit: string; series: Series[]; begin: number; end: number }) {
  const seen = series.flatMap(({ values }) => values.filter((value): value is number => value !== null));
  const top = Math.max(1, ...seen);
  const steps = Math.max(...series.map(({ values }) => values.length), 2);
  const x = (at: number) => LEFT + (at / (steps - 1)) * (WIDTH - LEFT - 4);
  const y = (value: number) => 8 + (1 - value / top) * (HEIGHT - 26);
  const told = series.map(({ name, values }) => {
    const last = values.filter((value): value is number => value !== null).at(-1);
    return `${name} ${last === undefined ? "nothing yet" : `${round(last)} ${unit}`}`;
  });
  return (
    <figure class="chart">
      <figcaption>
        <strong>{title}</strong>{" "}
        {told.map((words, at) => (
          <span key={words} class={`key c${at}`}>
            {words}
          </span>
        ))}
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={`${title} over the last hour; now ${told.join(", ")}; highest ${round(top)} ${unit}`}
      >
        <line class="base" x1={LEFT} x2={WIDTH - 4} y1={y(0)} y2={y(0)} />
        <text x={LEFT - 6} y={14} text-anchor="end">
          {round(top)}
        </text>
        <text x={LEFT - 6} y={y(0)} text-anchor="end">
          0
        </text>
        <text x={LEFT} y={HEIGHT - 4}>
          {new Date(begin).toISOString().slice(11, 16)}
        </text>
        <text x={WIDTH - 4} y={HEIGHT - 4} text-anchor="end">
          {new Date(end).toISOString().slice(11, 16)}
        </text>
        {series.map(({ name, values }, at) => (
          <path key={name} class={`line c${at}`} d={path(values, x, y)} />
        ))}
      </svg>
    </figure>
  );
}

const round = (number: number) => (number >= 100 ? Math.round(number).toLocaleString("en") : Number(number.toPrecision(2)).toString());

function path(values: (number | null)[], x: (at: number) => number, y: (value: number) => number): string {
  let isDown = false;
  return values
    .map((value, at) => {
      if (value === null) {
        isDown = false;
        return "";
      }
      const step = `${isDown ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      isDown = true;
      return step;
    })
    .join("");
}
