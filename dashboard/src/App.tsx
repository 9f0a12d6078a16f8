import { Loading } from "./components/Notice";
import { Toasts } from "./components/Toasts";
import { Shell } from "./layout/Shell";
import { NotFoundPage } from "./pages/NotFoundPage";
import { OPEN_ROUTES, ROUTES, STRANGERS_ROUTES } from "./pages/routes";
import { SignInPage } from "./pages/sign-in/SignInPage";
import { match, usePath } from "./routing/router";
import { useSession } from "./session/session";
import { StepUp } from "./session/stepUp";
import { TeamsProvider } from "./session/teams";

/** The page of the path: some are for everybody, the others for who is signed in. */
export function App() {
  return (
    <>
      <CurrentPage />
      <StepUp />
      <Toasts />
    </>
  );
}

function CurrentPage() {
  const path = usePath();
  const session = useSession();
  const open = match(OPEN_ROUTES, path);
  if (open) return open.route.page(open.params);
  if (session.status === "unknown") return <Loading what="Signing in" />;
  if (session.status === "out") {
    const strangers = match(STRANGERS_ROUTES, path);
    return strangers?.route.page({}) ?? <SignInPage because={session.because} />;
  }
  const found = match(ROUTES, path);
  return (
    <TeamsProvider key={session.user.id}>
      <Shell user={session.user}>{found ? found.route.page(found.params) : <NotFoundPage />}</Shell>
    </TeamsProvider>
  );
}
