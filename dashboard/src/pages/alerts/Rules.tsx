import { useState } from "react";
import type { Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Dialog, DialogButtons } from "../../components/Dialog";
import { Check, Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Table, type Column } from "../../components/Table";
import { tell } from "../../components/Toasts";

export type Rule = Schema["RuleShown"];
type Change = Schema["RuleChange"];

/** Every rule, and for who may: setting it. */
export function Rules({
  rules,
  may,
  change,
  changed,
}: {
  rules: readonly Rule[];
  may: boolean;
  change: (rule: string, body: Change) => Promise<unknown>;
  changed: () => void;
}) {
  const [setting, setSetting] = useState<Rule>();
  const columns: ReadonlyArray<Column<Rule>> = [
    {
      name: "Rule",
      cell: (rule) => (
        <span className="stack none">
          <span className="main">{wordsOf(rule.rule)}</span>
          <span className="soft small wrap">{rule.meaning}</span>
        </span>
      ),
    },
    {
      name: "From",
      cell: (rule) =>
        rule.threshold === null ? (
          <span className="soft">always</span>
        ) : (
          <span className="number">
            {rule.threshold.toLocaleString()} {rule.unit}
          </span>
        ),
    },
    {
      name: "State",
      cell: (rule) => (
        <span className="row">
          <Tag tone={rule.enabled ? "good" : ""}>{rule.enabled ? "on" : "off"}</Tag>
          {rule.enabled && rule.mail && <Tag>mail</Tag>}
        </span>
      ),
    },
  ];
  const actions: Column<Rule> = {
    name: "Actions",
    actions: true,
    cell: (rule) => (
      <Button
        look="secondary"
        small
        aria-label={`Set ${wordsOf(rule.rule)}`}
        onClick={() => setSetting(rule)}
      >
        Set
      </Button>
    ),
  };
  return (
    <>
      <Table
        caption="Rules"
        columns={may ? [...columns, actions] : columns}
        rows={rules}
        keyOf={(rule) => rule.rule}
      />
      {setting && (
        <RuleDialog
          rule={setting}
          change={change}
          close={() => setSetting(undefined)}
          done={() => {
            setSetting(undefined);
            changed();
          }}
        />
      )}
    </>
  );
}

function RuleDialog({
  rule,
  change,
  close,
  done,
}: {
  rule: Rule;
  change: (rule: string, body: Change) => Promise<unknown>;
  close: () => void;
  done: () => void;
}) {
  const save = useAction(async (form: FormData) => {
    const body: Change = { enabled: form.has("enabled"), mail: form.has("mail") };
    if (rule.unit) body.threshold = Number(textOf(form, "threshold"));
    await change(rule.rule, body);
    tell("The rule is set");
    done();
  });
  return (
    <Dialog title={wordsOf(rule.rule)} close={close}>
      <p className="soft">{rule.meaning}</p>
      <Form action={save} buttons={<DialogButtons verb="Save" busy={save.busy} close={close} />}>
        {rule.unit && (
          <Field
            label={`Threshold (${rule.unit})`}
            name="threshold"
            type="number"
            required
            min={rule.thresholdMin ?? undefined}
            max={rule.thresholdMax ?? undefined}
            defaultValue={rule.threshold ?? undefined}
            failure={save.failure}
          />
        )}
        <Check
          label="On"
          name="enabled"
          defaultChecked={rule.enabled}
          hint="Turned off, it finds nothing, and what it had found is over."
        />
        <Check
          label="Tell by mail"
          name="mail"
          defaultChecked={rule.mail}
          hint="Those who manage this, and who turned mails on, get a letter when trouble begins, and one when it is over."
        />
      </Form>
    </Dialog>
  );
}

/** Returns the name of a rule as words: “Error rate”. */
function wordsOf(rule: string): string {
  const words = rule.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
