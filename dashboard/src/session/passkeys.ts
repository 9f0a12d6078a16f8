/** What a browser does with passkeys, in the JSON that the API speaks. */

interface WithJson {
  parseCreationOptionsFromJSON(options: unknown): PublicKeyCredentialCreationOptions;
  parseRequestOptionsFromJSON(options: unknown): PublicKeyCredentialRequestOptions;
}

/** Whether this browser can use passkeys here: it cannot without TLS. */
export function passkeysWork(): boolean {
  return "PublicKeyCredential" in window && "parseRequestOptionsFromJSON" in PublicKeyCredential;
}

/** Lets the person choose a passkey; undefined when they would rather not. */
export function askForPasskey(options: unknown): Promise<unknown> {
  const publicKey = (PublicKeyCredential as unknown as WithJson).parseRequestOptionsFromJSON(
    options,
  );
  return said(navigator.credentials.get({ publicKey }));
}

/** Lets the person make a passkey; undefined when they would rather not. */
export function makePasskey(options: unknown): Promise<unknown> {
  const publicKey = (PublicKeyCredential as unknown as WithJson).parseCreationOptionsFromJSON(
    options,
  );
  return said(navigator.credentials.create({ publicKey }));
}

async function said(asked: Promise<Credential | null>): Promise<unknown> {
  try {
    const credential = (await asked) as PublicKeyCredential | null;
    return credential?.toJSON();
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotAllowedError") return undefined;
    throw error;
  }
}
