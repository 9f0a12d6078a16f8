import { useState } from "react";
import { api, ok, type Schema } from "../../api/client";
import { Failure } from "../../api/failure";
import { useAction } from "../../api/useAction";
import { useLoad } from "../../api/useLoad";
import { Button, LinkButton } from "../../components/Button";
import { Area, Check, Field, Select, textOf } from "../../components/Field";
import { Form } from "../../components/Form";
import { Show } from "../../components/Show";
import { Choices } from "../../components/Tabs";
import { Page } from "../../layout/Page";
import { navigate } from "../../routing/router";
import { useTeams } from "../../session/teams";
import { variablesOf } from "./deployment";
import { upload } from "./upload";

type From = "catalogue" | "image" | "code";

const FROM: ReadonlyArray<{ value: From; name: string }> = [
  { value: "catalogue", name: "Catalogue" },
  { value: "image", name: "Image" },
  { value: "code", name: "Code" },
];

/** Asks for what is needed; the rest has good values and stands under “More”. */
export function NewDeploymentPage() {
  const { team } = useTeams();
  const [from, setFrom] = useState<From>("catalogue");
  const [progress, setProgress] = useState<string>();
  const images = useLoad("images", (signal) => ok(api.GET("/v1/images", { signal })));
  const create = useAction(async (form: FormData) => {
    const image = await imageOf(form, team.id, setProgress);
    setProgress("Asking for the deployment …");
    const body = wishOf(form, image, team.id, images.data?.images ?? []);
    const made = await ok(api.POST("/v1/deployments", { body }));
    navigate(`/deployments/${made.id}${form.has("archive") ? "/logs" : ""}`); // to see it built
  });

  return (
    <Page title="New deployment" lead="It gets a URL of its own and is called with a key.">
      <div className="card narrow">
        <Choices label="What to deploy" values={FROM} value={from} choose={setFrom} />
        <Show of={images}>
          {({ images: catalogue }) => (
            <Form
              action={create}
              buttons={
                <>
                  <Button type="submit" busy={create.busy}>
                    Deploy
                  </Button>
                  <LinkButton to="/deployments" look="quiet">
                    Cancel
                  </LinkButton>
                  <span role="status" className="soft small">
                    {create.busy && progress}
                  </span>
                </>
              }
            >
              {from === "catalogue" && <FromCatalogue catalogue={catalogue} />}
              {from === "image" && <FromImage failure={create.failure} />}
              {from === "code" && <FromCode failure={create.failure} />}
              <Field
                label="Name"
                name="appName"
                required
                hint="3 to 40 small letters, digits and hyphens, a letter first. The URL begins with it."
                pattern="[a-z](-?[a-z0-9])+"
                title="Small letters, digits and single hyphens, a letter first"
                placeholder="orders-api"
                minLength={3}
                maxLength={40}
                spellCheck={false}
                autoCapitalize="none"
                failure={create.failure}
              />
              <More failure={create.failure} />
            </Form>
          )}
        </Show>
      </div>
    </Page>
  );
}

function FromCatalogue({ catalogue }: { catalogue: readonly Schema["Image"][] }) {
  const [chosen, setChosen] = useState(catalogue[0]?.image);
  return (
    <>
      <Select
        label="Image"
        name="image"
        value={chosen}
        onChange={(event) => setChosen(event.target.value)}
        hint={catalogue.find((one) => one.image === chosen)?.description}
      >
        {catalogue.map((one) => (
          <option key={one.image}>{one.image}</option>
        ))}
      </Select>
      <input type="hidden" name="from" value="catalogue" />
    </>
  );
}

function FromImage({ failure }: { failure?: Failure }) {
  return (
    <>
      <div className="fields">
        <Field
          label="Image"
          name="image"
          required
          placeholder="registry.example.com/team/app:1.2"
          spellCheck={false}
          failure={failure}
        />
        <Port failure={failure} />
      </div>
      <details>
        <summary>The registry asks for a sign-in</summary>
        <div className="fields inset">
          <Field label="Registry user" name="registryUser" />
          <Field label="Registry password" name="registryPassword" type="password" />
        </div>
      </details>
    </>
  );
}

function FromCode({ failure }: { failure?: Failure }) {
  return (
    <div className="fields">
      <Field
        label="Archive"
        name="archive"
        type="file"
        accept=".zip,.tar.gz,.tgz"
        required
        hint="Choose or drop a zip or tar.gz of Python, Node.js or Go. It is built here."
      />
      <Port failure={failure} value={8080} />
    </div>
  );
}

function Port({ failure, value }: { failure?: Failure; value?: number }) {
  return (
    <Field
      label="Port"
      name="port"
      type="number"
      min={1}
      max={65535}
      required
      defaultValue={value}
      hint="Where the program in it listens."
      failure={failure}
    />
  );
}

function More({ failure }: { failure?: Failure }) {
  return (
    <details>
      <summary>More</summary>
      <div className="stack inset">
        <div className="fields">
          <Field
            label="Replicas"
            name="replicas"
            type="number"
            min={0}
            defaultValue={1}
            failure={failure}
          />
          <Field
            label="Processor"
            name="cpu"
            placeholder="500m"
            hint="250m is a quarter of one."
            failure={failure}
            field="resources.cpu"
          />
          <Field
            label="Memory"
            name="memory"
            placeholder="256Mi"
            failure={failure}
            field="resources.memory"
          />
          <Field
            label="Room for files"
            name="storage"
            placeholder="64Mi"
            hint="In memory: at most half of it."
            failure={failure}
            field="resources.storage"
          />
          <Field
            label="Processes and threads"
            name="pids"
            type="number"
            min={16}
            max={4096}
            placeholder="256"
            failure={failure}
            field="resources.pids"
          />
          <Field
            label="Health path"
            name="healthPath"
            placeholder="/health"
            hint="Asked until it answers 200. Without one, an open port is enough."
            failure={failure}
            field="healthCheck.path"
          />
        </div>
        <Area
          label="Environment"
          name="environment"
          placeholder={"DATABASE_URL=postgres://…\nLOG_LEVEL=info"}
          spellCheck={false}
          hint="One NAME=value per line. Values are sealed, and never shown again."
          failure={failure}
          field="envVars"
        />
        <Check
          name="public"
          label="Anybody may call it"
          hint="Without this every call needs a key."
        />
      </div>
    </details>
  );
}

async function imageOf(
  form: FormData,
  teamId: string,
  tell: (progress: string) => void,
): Promise<string> {
  const archive = form.get("archive");
  if (!(archive instanceof File)) return textOf(form, "image").trim();
  return await upload(archive, teamId, (share) =>
    tell(share < 1 ? `Uploading: ${Math.round(share * 100)} %` : "Unpacking …"),
  );
}

function wishOf(
  form: FormData,
  image: string,
  teamId: string,
  catalogue: readonly Schema["Image"][],
): Schema["NewDeployment"] {
  const predefined =
    form.get("from") === "catalogue" ? catalogue.find((one) => one.image === image) : undefined;
  const healthPath = textOf(form, "healthPath").trim() || predefined?.healthPath;
  const cpu = textOf(form, "cpu").trim();
  const memory = textOf(form, "memory").trim();
  const storage = textOf(form, "storage").trim();
  const pids = Number(textOf(form, "pids"));
  const user = textOf(form, "registryUser");
  let envVars: Record<string, string>;
  try {
    envVars = variablesOf(textOf(form, "environment"));
  } catch (error) {
    const message = (error as Error).message;
    throw new Failure(0, "invalid_environment", message, [{ field: "envVars", message }]);
  }
  return {
    appName: textOf(form, "appName").trim(),
    image,
    port: predefined?.port ?? Number(textOf(form, "port")),
    replicas: Number(textOf(form, "replicas") || 1),
    envVars,
    resources: {
      ...(cpu && { cpu }),
      ...(memory && { memory }),
      ...(storage && { storage }),
      ...(pids && { pids }),
    },
    visibility: form.get("public") === "on" ? "public" : "private",
    teamId,
    ...(healthPath && {
      healthCheck: { path: healthPath },
    }),
    ...(user && { registryAuth: { username: user, password: textOf(form, "registryPassword") } }),
  };
}
