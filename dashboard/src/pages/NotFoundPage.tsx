import { LinkButton } from "../components/Button";
import { Page } from "../layout/Page";

export function NotFoundPage() {
  return (
    <Page
      title="There is no such page"
      lead="The address may be mistyped, or what it showed is gone."
    >
      <div>
        <LinkButton to="/">Go home</LinkButton>
      </div>
    </Page>
  );
}
