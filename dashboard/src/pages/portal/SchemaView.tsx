import { useState } from "react";
import { Markdown } from "./Markdown";
import { listOf, nameOf, nodeOf, resolved, textOf, typeOf, type Node } from "./openapi";

const OPEN_DEPTH = 2;
const SHOWN_MAX = 200;
const FACTS = [
  "format",
  "minimum",
  "maximum",
  "exclusiveMinimum",
  "exclusiveMaximum",
  "minLength",
  "maxLength",
  "pattern",
  "minItems",
  "maxItems",
  "multipleOf",
  "default",
  "const",
] as const;

/** A schema, as far down as somebody wants to look: it may go round in a circle. */
export function SchemaView({
  document,
  schema,
  depth = 0,
}: {
  document: Node;
  schema: unknown;
  depth?: number;
}) {
  const [open, setOpen] = useState(depth < OPEN_DEPTH);
  const node = resolved(document, schema);
  const name = nameOf(schema);
  const properties = Object.entries(nodeOf(node.properties)).slice(0, SHOWN_MAX);
  const parts = partsOf(node);
  const has = properties.length > 0 || parts.length > 0;
  return (
    <div className="schema">
      <Line node={node} name={name} />
      {depth > 0 && <Markdown text={textOf(node.description)} />}
      {has && !open && (
        <button type="button" className="link" onClick={() => setOpen(true)}>
          Show {name || "its parts"}
        </button>
      )}
      {has && open && (
        <ul>
          {properties.map(([property, inner]) => (
            <li key={property}>
              <code className="property">{property}</code>
              {listOf(node.required).includes(property) && <span className="soft"> required</span>}
              <SchemaView document={document} schema={inner} depth={depth + 1} />
            </li>
          ))}
          {parts.map(({ how, inner }, number) => (
            <li key={`${how} ${number}`}>
              <span className="soft small">{how}</span>
              <SchemaView document={document} schema={inner} depth={depth + 1} />
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function Line({ node, name }: { node: Node; name: string }) {
  const values = listOf(node.enum).slice(0, 50).map(shown);
  const facts = FACTS.filter((fact) => Object.hasOwn(node, fact)).map(
    (fact) => `${fact} ${shown(node[fact])}`,
  );
  const nullable = node.nullable === true || listOf(node.type).includes("null");
  return (
    <span className="small soft wrap">
      <span className="mono">{typeOf(node) || "any"}</span>
      {nullable && " or null"}
      {name && ` · ${name}`}
      {facts.length > 0 && ` · ${facts.join(", ")}`}
      {values.length > 0 && ` · one of ${values.join(", ")}`}
      {node.deprecated === true && " · deprecated"}
    </span>
  );
}

function partsOf(node: Node): Array<{ how: string; inner: unknown }> {
  const several = (name: string, how: string) =>
    listOf(node[name])
      .slice(0, SHOWN_MAX)
      .map((inner) => ({ how, inner }));
  const one = (name: string, how: string) =>
    typeof node[name] === "object" && node[name] !== null ? [{ how, inner: node[name] }] : [];
  return [
    ...one("items", "each"),
    ...several("allOf", "also"),
    ...several("oneOf", "one of these"),
    ...several("anyOf", "any of these"),
    ...one("additionalProperties", "any other name"),
  ];
}

function shown(value: unknown): string {
  return (typeof value === "string" ? value : (JSON.stringify(value) ?? "")).slice(0, 200);
}
