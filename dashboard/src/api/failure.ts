/** A refusal in the words of the API (problem+json), or of the network. */
export class Failure extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly details: ReadonlyArray<{ field: string; message: string }> = [],
    readonly requestId = "",
  ) {
    super(message);
  }

  /** What is wrong with one field of what was sent. */
  of(field: string): string | undefined {
    return this.details.find((detail) => detail.field === field)?.message;
  }
}

interface ProblemDocument {
  detail?: string;
  requestId?: string;
  error?: { code: string; message: string; details: Array<{ field: string; message: string }> };
}

/** Returns the failure that an answer tells of. */
export function failureOf(status: number, body: unknown): Failure {
  const problem = (typeof body === "object" && body !== null ? body : {}) as ProblemDocument;
  return new Failure(
    status,
    problem.error?.code ?? "unknown",
    problem.error?.message ?? problem.detail ?? `The platform answered ${status}.`,
    problem.error?.details ?? [],
    problem.requestId ?? "",
  );
}

/** Returns whatever was thrown as a failure. */
export function asFailure(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  return new Failure(0, "unreachable", "The platform does not answer. Is it running?");
}
