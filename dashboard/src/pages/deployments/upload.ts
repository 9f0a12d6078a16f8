import { failureOf } from "../../api/failure";
import { accessToken } from "../../session/session";

/** Sends an archive of code and tells how far it is; returns the image to deploy it by. */
export async function upload(
  archive: File,
  teamId: string,
  tell: (share: number) => void,
): Promise<string> {
  const token = await accessToken();
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how far it is
    request.open("POST", `/v1/sources?teamId=${encodeURIComponent(teamId)}`);
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    const kind = archive.name.endsWith(".zip") ? "application/zip" : "application/gzip";
    request.setRequestHeader("Content-Type", kind);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => tell(event.loaded / event.total));
    request.addEventListener("error", () => reject(new TypeError("not sent")));
    request.addEventListener("load", () => {
      const answer = request.response as { image: string };
      if (request.status === 201) resolve(answer.image);
      else reject(failureOf(request.status, answer));
    });
    request.send(archive);
  });
}
