import { api, ok, type Schema } from "../../api/client";
import { useAction } from "../../api/useAction";
import { Button } from "../../components/Button";
import { FailureNotice } from "../../components/Notice";
import { askForPasskey, passkeysWork } from "../../session/passkeys";
import { COOKIE_SESSION, type SignedIn } from "../../session/session";

/** Signs in with a passkey, where the browser has any. */
export function PasskeyButton({ enter }: { enter: (answer: SignedIn) => void }) {
  const use = useAction(async () => {
    const ceremony = await ok(api.POST("/v1/auth/passkeys/options", { body: {} }));
    const credential = await askForPasskey(ceremony.publicKey);
    if (!credential) return;
    enter(
      await ok(
        api.POST("/v1/auth/passkeys", {
          body: { credential: credential as Schema["Assertion"] },
          headers: COOKIE_SESSION,
        }),
      ),
    );
  });
  if (!passkeysWork()) return null;
  return (
    <>
      <Button look="secondary" busy={use.busy} onClick={() => void use.run()}>
        Use a passkey
      </Button>
      <FailureNotice failure={use.failure} />
    </>
  );
}
