/**
 * The same request in several languages.
 *
 * People copy these lines into a terminal, and the document they are made of may be hostile: so every
 * text is quoted as its language wants it, no character is left that a reader does not see, and the
 * request goes to the deployment, whatever the document says.
 */
import type { Operation } from "./openapi";

export interface Call {
  method: string;
  url: string;
  /** Without the key, which is never written into an example. */
  headers: Array<[string, string]>;
  body?: string;
}

export interface Values {
  /** By place and name. */
  parameters: Record<string, string>;
  kind?: string;
  body?: string;
}

const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
const OUR_HEADERS = new Set(["x-api-key", "authorization", "host", "content-length", "cookie"]);
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
const VARIABLE = "TALLYPORT_KEY";

export function keyOf(place: string, name: string): string {
  return `${place} ${name}`;
}

/** Returns the request that these values make. */
export function callOf(url: string, operation: Operation, values: Values): Call {
  const given = (place: string, name: string) =>
    visible(values.parameters[keyOf(place, name)] ?? "");
  const path = operation.path
    .split(/(\{[^{}/]+\})/)
    .map((part) =>
      part.startsWith("{") && part.endsWith("}")
        ? segment(given("path", part.slice(1, -1)) || part)
        : encodeURI(part).replaceAll("#", "%23").replaceAll("?", "%3F"),
    )
    .join("");
  const query = new URLSearchParams();
  const headers: Array<[string, string]> = [];
  for (const { place, name } of operation.parameters) {
    const value = given(place, name);
    if (value === "") continue;
    if (place === "query") query.append(name, value);
    if (place === "header" && HEADER_NAME.test(name) && !OUR_HEADERS.has(name.toLowerCase())) {
      headers.push([name, value.replaceAll("\n", " ")]);
    }
  }
  const body = operation.body && values.body ? visible(values.body) : undefined;
  if (body !== undefined && values.kind) headers.push(["Content-Type", visible(values.kind)]);
  const search = query.toString();
  const whole = url + (path.startsWith("/") ? path : `/${path}`) + (search && `?${search}`);
  return { method: operation.method, url: whole, headers, body };
}

export const LANGUAGES = ["curl", "Python", "JavaScript", "Go"] as const;
export type Language = (typeof LANGUAGES)[number];

/** Returns a call as lines of a language; the key comes from the environment. */
export function exampleOf(language: Language, call: Call, needsKey: boolean): string {
  return { curl, Python: python, JavaScript: javascript, Go: go }[language](call, needsKey);
}

function curl({ method, url, headers, body }: Call, needsKey: boolean): string {
  const lines = [
    `curl${method === "GET" ? "" : method === "HEAD" ? " --head" : ` -X ${method}`} ${shell(url)}`,
  ];
  if (needsKey) lines.push(`-H "X-API-Key: $${VARIABLE}"`);
  for (const [name, value] of headers) lines.push(`-H ${shell(`${name}: ${value}`)}`);
  if (body !== undefined) lines.push(`--data-raw ${shell(body)}`);
  return lines.join(" \\\n  ");
}

function python({ method, url, headers, body }: Call, needsKey: boolean): string {
  const named = headers.map(([name, value]) => `${quoted(name)}: ${quoted(value)}`);
  if (needsKey) named.unshift(`"X-API-Key": os.environ["${VARIABLE}"]`);
  return [
    ...(needsKey ? ["import os"] : []),
    "import urllib.request",
    "",
    "request = urllib.request.Request(",
    `    ${quoted(url)},`,
    `    method=${quoted(method)},`,
    `    headers={${named.join(", ")}},`,
    ...(body === undefined ? [] : [`    data=${quoted(body)}.encode(),`]),
    ")",
    "with urllib.request.urlopen(request) as answer:",
    "    print(answer.status, answer.read().decode())",
  ].join("\n");
}

function javascript({ method, url, headers, body }: Call, needsKey: boolean): string {
  const named = headers.map(([name, value]) => `${quoted(name)}: ${quoted(value)}`);
  if (needsKey) named.unshift(`"X-API-Key": process.env.${VARIABLE}`);
  return [
    `const answer = await fetch(${quoted(url)}, {`,
    `  method: ${quoted(method)},`,
    ...(named.length > 0 ? [`  headers: { ${named.join(", ")} },`] : []),
    ...(body === undefined ? [] : [`  body: ${quoted(body)},`]),
    "});",
    "console.log(answer.status, await answer.text());",
  ].join("\n");
}

function go({ method, url, headers, body }: Call, needsKey: boolean): string {
  const imports = ["fmt", "io", "net/http", ...(needsKey ? ["os"] : [])];
  if (body !== undefined) imports.push("strings");
  const sent = body === undefined ? "nil" : `strings.NewReader(${quoted(body)})`;
  const set = headers.map(
    ([name, value]) => `\trequest.Header.Set(${quoted(name)}, ${quoted(value)})`,
  );
  if (needsKey) set.unshift(`\trequest.Header.Set("X-API-Key", os.Getenv("${VARIABLE}"))`);
  return [
    "package main",
    "",
    "import (",
    ...imports.map((name) => `\t"${name}"`),
    ")",
    "",
    "func main() {",
    `\trequest, err := http.NewRequest(${quoted(method)}, ${quoted(url)}, ${sent})`,
    "\tif err != nil {",
    "\t\tpanic(err)",
    "\t}",
    ...set,
    "\tanswer, err := http.DefaultClient.Do(request)",
    "\tif err != nil {",
    "\t\tpanic(err)",
    "\t}",
    "\tdefer answer.Body.Close()",
    "\tbody, _ := io.ReadAll(answer.Body)",
    "\tfmt.Println(answer.StatusCode, string(body))",
    "}",
  ].join("\n");
}

/** Between single quotes a shell reads nothing but the text; `--data-raw` reads no file. */
function shell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** JSON's texts are texts of Python, JavaScript and Go, too. */
function quoted(text: string): string {
  return JSON.stringify(text);
}

function visible(text: string): string {
  return text.replace(UNSEEN, "").replace(/\p{Surrogate}/gu, "");
}

/** One part of a path: not one that leads up. */
function segment(text: string): string {
  return encodeURIComponent(text).replace(/^\.{1,2}$/, (dots) => dots.replaceAll(".", "%2E"));
}
