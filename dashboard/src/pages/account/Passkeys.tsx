import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Button } from "../../components/Button";
import { Confirm, Dialog, DialogButtons } from "../../components/Dialog";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Moment } from "../../components/Moment";
import { Show } from "../../components/Show";
import { Table } from "../../components/Table";
import { makePasskey, passkeysWork } from "../../session/passkeys";

type Passkey = Schema["Passkey"];

/** What signs in without a password: a finger, a face, a key of metal. */
export function Passkeys() {
  const [adding, setAdding] = useState(false);
  const [leaving, setLeaving] = useState<Passkey>();
  const list = useLoad("passkeys", (signal) =>
    ok(api.GET("/v1/user/passkeys", { params: { query: { limit: 100 } }, signal })),
  );
  return (
    <section className="card" aria-label="Passkeys">
      <h2>Passkeys</h2>
      <p className="soft">They sign in without a password, and nobody can be tricked out of one.</p>
      <Show of={list}>
        {({ passkeys }) =>
          passkeys.length > 0 && (
            <Table
              caption="Passkeys"
              columns={[
                { name: "Name", cell: (one) => <span className="main wrap">{one.name}</span> },
                { name: "Last used", cell: (one) => <Moment at={one.lastUsedAt} /> },
                {
                  name: "Actions",
                  actions: true,
                  cell: (one) => (
                    <Button look="secondary" small onClick={() => setLeaving(one)}>
                      Remove
                    </Button>
                  ),
                },
              ]}
              rows={passkeys}
              keyOf={(one) => one.id}
            />
          )
        }
      </Show>
      {passkeysWork() ? (
        <div>
          <Button look="secondary" onClick={() => setAdding(true)}>
            Add a passkey
          </Button>
        </div>
      ) : (
        <p className="soft small">This browser has none here: they need HTTPS, or localhost.</p>
      )}
      {adding && (
        <AddDialog
          close={() => setAdding(false)}
          done={() => {
            setAdding(false);
            list.reload();
          }}
        />
      )}
      {leaving && (
        <Confirm
          title={`Remove ${leaving.name}?`}
          verb="Remove"
          close={() => setLeaving(undefined)}
          act={async () => {
            const params = { path: { passkey_id: leaving.id } };
            await ok(api.DELETE("/v1/user/passkeys/{passkey_id}", { params }));
            list.reload();
          }}
        >
          <p>It signs in no more.</p>
        </Confirm>
      )}
    </section>
  );
}

function AddDialog({ close, done }: { close: () => void; done: () => void }) {
  const add = useAction(async (form: FormData) => {
    const { publicKey } = await ok(api.POST("/v1/user/passkeys/options"));
    const credential = await makePasskey(publicKey);
    if (!credential) return;
    const body = {
      name: textOf(form, "name").trim(),
      credential: credential as Schema["Attestation"],
    };
    await ok(api.POST("/v1/user/passkeys", { body }));
    done();
  });
  return (
    <Dialog title="Add a passkey" close={close}>
      <Form action={add} buttons={<DialogButtons verb="Go on" busy={add.busy} close={close} />}>
        <Field
          label="Name"
          name="name"
          required
          autoFocus
          maxLength={60}
          hint="By which you know it again: “laptop”."
          failure={add.failure}
        />
      </Form>
    </Dialog>
  );
}
