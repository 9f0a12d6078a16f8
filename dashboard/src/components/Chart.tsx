/** Values over time as lines, drawn in SVG. What a line says is also told in words. */
import { useEffect, useId, useRef, useState, type PointerEvent } from "react";
import { exactly } from "./Moment";

export interface Point {
  timestamp: string;
  value: number | null;
}

export interface Series {
  name: string;
  points: readonly Point[];
}

const HEIGHT = 180;
const LEFT = 52;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 22;
const LINES = 4;

export function Chart({
  title,
  series,
  format,
  from,
  to,
}: {
  title: string;
  series: readonly Series[];
  format: (value: number) => string;
  from: string;
  to: string;
}) {
  const id = useId();
  const figure = useRef<HTMLElement>(null);
  const width = useWidth(figure);
  const [at, setAt] = useState<number>();
  const start = Date.parse(from);
  const end = Math.max(Date.parse(to), start + 1);
  const top = niceTop(series.flatMap((one) => one.points.map((point) => point.value ?? 0)));
  const x = (time: number) =>
    LEFT + (Math.max(0, time - start) / (end - start)) * (width - LEFT - RIGHT);
  const y = (value: number) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  const times = series[0]?.points.map((point) => Date.parse(point.timestamp)) ?? [];

  const point = (event: PointerEvent<SVGSVGElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    const seen = ((event.clientX - box.left) / box.width) * width;
    setAt(nearest(times.map(x), seen));
  };
  const hovered = at === undefined ? undefined : series[0]?.points[at];

  return (
    <figure className="chart" ref={figure}>
      <figcaption className="row between">
        <h3 id={id}>{title}</h3>
        <span className="soft small number">
          {hovered ? exactly(hovered.timestamp) : summary(series, format)}
        </span>
      </figcaption>
      <svg
        viewBox={`0 0 ${width} ${HEIGHT}`}
        role="img"
        aria-labelledby={id}
        onPointerMove={point}
        onPointerLeave={() => setAt(undefined)}
      >
        {steps(top).map((value) => (
          <g key={value}>
            <line className="grid" x1={LEFT} x2={width - RIGHT} y1={y(value)} y2={y(value)} />
            <text className="axis" x={LEFT - 8} y={y(value) + 4} textAnchor="end">
              {format(value)}
            </text>
          </g>
        ))}
        <text className="axis" x={LEFT} y={HEIGHT - 4}>
          {clock(start, end - start)}
        </text>
        <text className="axis" x={width - RIGHT} y={HEIGHT - 4} textAnchor="end">
          {clock(end, end - start)}
        </text>
        {series.map((one, number) => (
          <g key={one.name} className={`series-${number + 1}`}>
            {runs(one.points).map((run) => (
              <Run key={run[0]?.timestamp} run={run} x={x} y={y} filled={series.length === 1} />
            ))}
          </g>
        ))}
        {at !== undefined && hovered && (
          <line
            className="hover"
            x1={x(Date.parse(hovered.timestamp))}
            x2={x(Date.parse(hovered.timestamp))}
            y1={TOP}
            y2={HEIGHT - BOTTOM}
          />
        )}
      </svg>
      {(series.length > 1 || hovered) && (
        <div className="legend number">
          {series.map((one, number) => (
            <span key={one.name} className={`series-${number + 1}`}>
              {one.name}
              {at !== undefined && `: ${valueText(one.points[at]?.value, format)}`}
            </span>
          ))}
        </div>
      )}
    </figure>
  );
}

/** Returns how wide an element is, in the pixels that the chart is drawn in. */
function useWidth(element: React.RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(640);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      if (entry) setWidth(Math.max(240, Math.round(entry.contentRect.width)));
    });
    if (element.current) observer.observe(element.current);
    return () => observer.disconnect();
  }, [element]);
  return width;
}

/** Points without a gap between them. */
function Run({
  run,
  x,
  y,
  filled,
}: {
  run: readonly Point[];
  x: (time: number) => number;
  y: (value: number) => number;
  filled: boolean;
}) {
  const places = run.map((point) => [x(Date.parse(point.timestamp)), y(point.value ?? 0)] as const);
  const first = places[0];
  const last = places[places.length - 1];
  if (!first || !last) return null;
  if (places.length === 1) return <circle className="dot" cx={first[0]} cy={first[1]} r={2.5} />;
  const line = places.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(" ");
  return (
    <>
      {filled && (
        <polygon className="area" points={`${first[0]},${y(0)} ${line} ${last[0]},${y(0)}`} />
      )}
      <polyline className="line" points={line} />
    </>
  );
}

function runs(points: readonly Point[]): Point[][] {
  const found: Point[][] = [];
  let run: Point[] = [];
  for (const point of points) {
    if (point.value === null) {
      if (run.length > 0) found.push(run);
      run = [];
    } else run.push(point);
  }
  if (run.length > 0) found.push(run);
  return found;
}

function niceTop(values: readonly number[]): number {
  const largest = values.reduce((most, value) => Math.max(most, value), 0);
  const whole = values.every(Number.isInteger);
  if (largest <= (whole ? LINES : 0)) return LINES;
  const size = 10 ** Math.floor(Math.log10(largest / LINES));
  const step = [1, 2, 5, 10].find((one) => one * size * LINES >= largest) ?? 10;
  return step * size * LINES;
}

function steps(top: number): number[] {
  return Array.from({ length: LINES + 1 }, (_, index) => (top / LINES) * index);
}

function nearest(places: readonly number[], seen: number): number | undefined {
  let best: number | undefined;
  for (const [index, place] of places.entries()) {
    if (best === undefined || Math.abs(place - seen) < Math.abs((places[best] ?? 0) - seen)) {
      best = index;
    }
  }
  return best;
}

function summary(series: readonly Series[], format: (value: number) => string): string {
  const values = series.flatMap((one) =>
    one.points.flatMap((point) => (point.value === null ? [] : [point.value])),
  );
  if (values.length === 0) return "nothing in this time";
  return `highest ${format(Math.max(...values))}`;
}

function valueText(value: number | null | undefined, format: (value: number) => string): string {
  return value === null || value === undefined ? "none" : format(value);
}

function clock(time: number, span: number): string {
  const options: Intl.DateTimeFormatOptions =
    span > 12 * 3_600_000
      ? { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }
      : { hour: "2-digit", minute: "2-digit" };
  return new Intl.DateTimeFormat(undefined, options).format(new Date(time));
}
