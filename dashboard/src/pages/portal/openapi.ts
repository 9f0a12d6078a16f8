/**
 * Reads an OpenAPI document of which only the form is certain: everything in it is somebody's word.
 *
 * It may refer to itself without end, so whatever walks through it has a bound.
 */

export type Node = Record<string, unknown>;

export interface Parameter {
  name: string;
  place: "query" | "header" | "path" | "cookie";
  required: boolean;
  description: string;
  schema: unknown;
  sample: string;
}

export interface Content {
  kind: string;
  schema: unknown;
  sample: string;
}

export interface Answer {
  status: string;
  description: string;
  contents: Content[];
}

export interface Operation {
  /** Its place on the page. */
  id: string;
  method: string;
  path: string;
  tag: string;
  summary: string;
  description: string;
  deprecated: boolean;
  parameters: Parameter[];
  body?: { required: boolean; description: string; contents: Content[] };
  answers: Answer[];
}

const METHODS = ["get", "post", "put", "patch", "delete", "head", "options", "trace"];
const REFERENCES_MAX = 20;
const SAMPLE_DEPTH_MAX = 6;
const SAMPLE_PARTS_MAX = 500;
const BASE_PATH = /^(?:\/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*$/;

export function nodeOf(value: unknown): Node {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Node)
    : {};
}

export function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Returns what a reference leads to, over a few steps at most. */
export function resolved(document: Node, value: unknown): Node {
  let node = nodeOf(value);
  for (let step = 0; step < REFERENCES_MAX; step += 1) {
    const reference = node["$ref"];
    if (typeof reference !== "string") return node;
    let found: unknown = document;
    for (const part of reference.replace(/^#\/?/, "").split("/").filter(Boolean)) {
      const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
      found = Array.isArray(found)
        ? (found as unknown[])[Number(name)]
        : Object.hasOwn(nodeOf(found), name)
          ? nodeOf(found)[name]
          : undefined;
    }
    node = nodeOf(found);
  }
  return {};
}

/** Returns the last part of a reference, to call it by. */
export function nameOf(value: unknown): string {
  return textOf(nodeOf(value)["$ref"]).split("/").at(-1)?.replaceAll("~1", "/") ?? "";
}

/** Returns the path of the first server. Its host is never used: it is anybody's. */
export function basePath(document: Node): string {
  const url = textOf(nodeOf(listOf(document.servers)[0]).url);
  const path = url.replace(/^[a-z]+:\/\/[^/]*/i, "").replace(/\/+$/, "");
  return BASE_PATH.test(path) ? path : "";
}

/** Returns the operations in the order of the document. */
export function operationsOf(document: Node): Operation[] {
  const found: Operation[] = [];
  for (const [path, item] of Object.entries(nodeOf(document.paths))) {
    for (const method of METHODS) {
      if (!Object.hasOwn(nodeOf(item), method)) continue;
      found.push(operation(document, method, path, nodeOf(item)));
    }
  }
  return found;
}

function operation(document: Node, method: string, path: string, item: Node): Operation {
  const one = nodeOf(item[method]);
  const parameters = new Map<string, Parameter>();
  for (const each of [...listOf(item.parameters), ...listOf(one.parameters)]) {
    const parameter = parameterOf(document, resolved(document, each));
    if (parameter) parameters.set(`${parameter.place} ${parameter.name}`, parameter);
  }
  const body = resolved(document, one.requestBody);
  return {
    id: `${method}${path}`,
    method: method.toUpperCase(),
    path,
    tag: textOf(listOf(one.tags)[0]) || "Operations",
    summary: textOf(one.summary),
    description: textOf(one.description),
    deprecated: one.deprecated === true,
    parameters: [...parameters.values()],
    body:
      Object.keys(nodeOf(body.content)).length > 0
        ? {
            required: body.required === true,
            description: textOf(body.description),
            contents: contentsOf(document, body.content),
          }
        : undefined,
    answers: Object.entries(nodeOf(one.responses))
      .filter(([status]) => !status.startsWith("x-"))
      .map(([status, answer]) => ({
        status,
        description: textOf(resolved(document, answer).description),
        contents: contentsOf(document, resolved(document, answer).content),
      })),
  };
}

function parameterOf(document: Node, parameter: Node): Parameter | undefined {
  const place = parameter.in;
  if (place !== "query" && place !== "header" && place !== "path" && place !== "cookie") return;
  const name = textOf(parameter.name);
  if (!name) return;
  const schema = parameter.schema ?? nodeOf(Object.values(nodeOf(parameter.content))[0]).schema;
  const example = parameter.example ?? firstExample(document, parameter.examples);
  const sample = example === undefined ? sampleOf(document, schema) : example;
  return {
    name,
    place,
    required: parameter.required === true || place === "path",
    description: textOf(parameter.description),
    schema,
    sample: typeof sample === "string" ? sample : sample === null ? "" : JSON.stringify(sample),
  };
}

function contentsOf(document: Node, content: unknown): Content[] {
  return Object.entries(nodeOf(content)).map(([kind, each]) => {
    const media = nodeOf(each);
    const example = media.example ?? firstExample(document, media.examples);
    const sample = example === undefined ? sampleOf(document, media.schema) : example;
    const json = kind.includes("json");
    const text = typeof sample === "string" && !json ? sample : JSON.stringify(sample, null, 2);
    return { kind, schema: media.schema, sample: json || typeof sample === "string" ? text : "" };
  });
}

function firstExample(document: Node, examples: unknown): unknown {
  const [first] = Object.values(nodeOf(examples));
  return first === undefined ? undefined : resolved(document, first).value;
}

/** Returns a value that the schema may mean. */
export function sampleOf(document: Node, schema: unknown): unknown {
  let parts = 0;
  return sample(schema, 0);

  function sample(given: unknown, depth: number): unknown {
    parts += 1;
    const node = resolved(document, given);
    if (depth > SAMPLE_DEPTH_MAX || parts > SAMPLE_PARTS_MAX) return null;
    for (const name of ["example", "default", "const"]) {
      if (Object.hasOwn(node, name)) return node[name];
    }
    for (const name of ["examples", "enum"]) {
      if (listOf(node[name]).length > 0) return listOf(node[name])[0];
    }
    const alternatives = [...listOf(node.oneOf), ...listOf(node.anyOf)];
    if (listOf(node.allOf).length > 0) {
      const merged = properties(node, depth);
      for (const part of listOf(node.allOf)) Object.assign(merged, nodeOf(sample(part, depth + 1)));
      return merged;
    }
    if (alternatives.length > 0) return sample(alternatives[0], depth + 1);
    const kind = typeOf(node);
    if (kind === "object") return properties(node, depth);
    if (kind === "array") return [sample(node.items, depth + 1)];
    if (kind === "string") return BY_FORMAT[textOf(node.format)] ?? "text";
    if (kind === "integer" || kind === "number") {
      return typeof node.minimum === "number" ? node.minimum : 0;
    }
    return kind === "boolean" ? true : null;
  }

  function properties(node: Node, depth: number): Node {
    const made: Node = {};
    for (const [name, schema] of Object.entries(nodeOf(node.properties))) {
      if (parts > SAMPLE_PARTS_MAX) break;
      if (resolved(document, schema).readOnly === true || name === "__proto__") continue;
      made[name] = sample(schema, depth + 1);
    }
    return made;
  }
}

const BY_FORMAT: Record<string, string> = {
  date: "2026-11-23",
  "date-time": "2026-11-23T02:00:00Z",
  email: "anna@example.com",
  uuid: "0f8fad5b-d9cb-469f-a165-70867728950e",
  uri: "https://example.com/",
};

/** Returns the kind of value that a schema is about, as far as it says. */
export function typeOf(node: Node): string {
  const types = listOf(node.type).length > 0 ? listOf(node.type) : [node.type];
  const type = types.find((one) => one !== "null" && typeof one === "string");
  if (typeof type === "string") return type;
  if ("properties" in node) return "object";
  return "items" in node ? "array" : types[0] === "null" ? "null" : "";
}
