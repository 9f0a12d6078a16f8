import { type ReactNode } from "react";

/**
 * The little of Markdown that descriptions use: paragraphs, lists, headings, code, bold, links.
 *
 * The text may be hostile. It becomes texts of the page and nothing else: no HTML, no picture, and a
 * link only to where `http` or `https` leads.
 */
export function Markdown({ text }: { text: string }) {
  if (!text.trim()) return null;
  return <div className="markdown">{blocksOf(text.slice(0, CHARACTERS_MAX))}</div>;
}

/** A link to elsewhere, or its words alone where that is not a page of the web. */
export function SafeLink({ to, children }: { to: string; children: ReactNode }) {
  if (!isWeb(to)) return <span>{children}</span>;
  return (
    <a href={to} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

const CHARACTERS_MAX = 50_000;
const INLINE = /`([^`\n]+)`|\*\*([^*\n]+)\*\*|\[([^\]\n]{1,500})\]\(([^()\s]{1,2000})\)/g;

function isWeb(to: string): boolean {
  try {
    return ["http:", "https:"].includes(new URL(to).protocol);
  } catch {
    return false;
  }
}

function blocksOf(text: string): ReactNode[] {
  const blocks: ReactNode[] = [];
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  let at = 0;
  const take = (belongs: (line: string) => boolean) => {
    const taken: string[] = [];
    while (at < lines.length && belongs(lines[at] ?? "")) taken.push(lines[at++] ?? "");
    return taken;
  };
  while (at < lines.length) {
    const line = lines[at] ?? "";
    const key = blocks.length;
    if (line.startsWith("```")) {
      at += 1;
      const code = take((one) => !one.startsWith("```"));
      at += 1;
      blocks.push(
        <pre key={key} className="answer" tabIndex={0}>
          {code.join("\n")}
        </pre>,
      );
    } else if (ITEM.test(line)) {
      blocks.push(
        <ul key={key}>
          {take((one) => ITEM.test(one)).map((one, number) => (
            <li key={number}>{inline(one.replace(ITEM, ""))}</li>
          ))}
        </ul>,
      );
    } else if (line.trim() === "") at += 1;
    else if (HEADING.test(line)) {
      at += 1;
      blocks.push(
        <p key={key}>
          <strong>{inline(line.replace(HEADING, ""))}</strong>
        </p>,
      );
    } else {
      const said = take((one) => one.trim() !== "" && !one.startsWith("```") && !ITEM.test(one));
      blocks.push(<p key={key}>{inline(said.join("\n"))}</p>);
    }
  }
  return blocks;
}

const ITEM = /^\s{0,3}(?:[-*+]|\d{1,3}[.)])\s+/;
const HEADING = /^#{1,6}\s+/;

function inline(text: string): ReactNode[] {
  const parts: ReactNode[] = [];
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    parts.push(text.slice(end, found.index));
    const [whole, code, bold, words, to] = found;
    const key = found.index;
    if (code !== undefined) parts.push(<code key={key}>{code}</code>);
    else if (bold !== undefined) parts.push(<strong key={key}>{bold}</strong>);
    else {
      parts.push(
        <SafeLink key={key} to={to ?? ""}>
          {words}
        </SafeLink>,
      );
    }
    end = found.index + whole.length;
  }
  parts.push(text.slice(end));
  return parts;
}
