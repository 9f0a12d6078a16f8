import { api, ok } from "../../api/client";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Tag } from "../../components/Badge";
import { Button } from "../../components/Button";
import { Field, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Moment } from "../../components/Moment";
import { Notice } from "../../components/Notice";
import { Show } from "../../components/Show";
import { tell } from "../../components/Toasts";
import { renamed } from "../../session/session";

export function ProfileTab() {
  const profile = useLoad("profile", (signal) => ok(api.GET("/v1/user/profile", { signal })));
  const change = useAction(async (form: FormData) => {
    const body = {
      username: textOf(form, "username").trim(),
      email: textOf(form, "email").trim(),
    };
    const answer = await ok(api.PUT("/v1/user/profile", { body }));
    renamed(answer);
    tell(
      answer.pendingEmail
        ? `A link is on its way to ${answer.pendingEmail}.`
        : "Your profile is changed.",
    );
    profile.reload();
  });
  return (
    <Show of={profile}>
      {(shown) => (
        <div className="stack wide narrow">
          {shown.pendingEmail && (
            <Notice>
              {shown.pendingEmail} takes the place of your address once the link in the mail there
              is followed.
            </Notice>
          )}
          <section className="card" aria-label="Name and address">
            <Form
              key={`${shown.username} ${shown.email}`}
              action={change}
              buttons={
                <Button type="submit" busy={change.busy}>
                  Save
                </Button>
              }
            >
              <Field
                label="Name"
                name="username"
                required
                minLength={3}
                maxLength={32}
                autoComplete="username"
                defaultValue={shown.username}
                failure={change.failure}
              />
              <Field
                label="E-mail"
                name="email"
                type="email"
                required
                autoComplete="email"
                defaultValue={shown.email}
                failure={change.failure}
              />
            </Form>
          </section>
          <section className="card" aria-label="About the account">
            <dl className="facts">
              <dt>Id</dt>
              <dd className="mono">{shown.id}</dd>
              <dt>Since</dt>
              <dd>
                <Moment at={shown.createdAt} />
              </dd>
              <dt>Last sign-in</dt>
              <dd>
                <Moment at={shown.lastLogin} />
              </dd>
              {shown.platformAdmin && (
                <>
                  <dt>You are</dt>
                  <dd>
                    <Tag>admin of this platform</Tag>
                  </dd>
                </>
              )}
            </dl>
          </section>
        </div>
      )}
    </Show>
  );
}
