/** Numbers as people read them. */

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toLocaleString("en", { maximumFractionDigits: value < 10 && unit > 0 ? 1 : 0 })} ${UNITS[unit]}`;
}

export function count(value: number): string {
  return value.toLocaleString("en");
}

export function percent(share: number): string {
  return `${(share * 100).toLocaleString("en", { maximumFractionDigits: share < 0.1 ? 2 : 1 })} %`;
}

export function milliseconds(value: number): string {
  if (value >= 1000)
    return `${(value / 1000).toLocaleString("en", { maximumFractionDigits: 2 })} s`;
  return `${value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 })} ms`;
}

/** Returns an amount of processors, which the API has as `64000m`, in whole ones. */
export function cores(amount: string): string {
  const millis = amount.endsWith("m") ? Number(amount.slice(0, -1)) : Number(amount) * 1000;
  return (millis / 1000).toLocaleString("en", { maximumFractionDigits: 3 });
}

/** Returns an amount of memory, which the API has as `256Mi`, as people write it. */
export function memory(amount: string): string {
  return amount.replace(/^([\d.]+)([KMGT]i)$/, "$1\u00a0$2B");
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Returns an amount to the cent: what is less than one is said to be. */
export function cents(amount: string): string {
  const value = Number(amount);
  if (value > 0 && value < 0.01) return "< 0.01";
  return value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

/** Returns an exact amount, written without zeros that say nothing. */
export function money(amount: string): string {
  const [whole = "0", rest = ""] = amount.split(".");
  return `${Number(whole).toLocaleString("en")}.${rest.replace(/0+$/, "").padEnd(2, "0")}`;
}
