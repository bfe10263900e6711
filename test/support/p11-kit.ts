import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "./processes.ts";
import type { ScratchFolder } from "./softhsm.ts";

/** Debian (package p11-kit-modules) on either architecture, Fedora. */
const CLIENT_MODULES = [
  "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so",
  "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so",
  "/usr/lib64/pkcs11/p11-kit-client.so",
];

/**
 * SoftHSM in a process of its own, behind `p11-kit server` on a Unix socket; this process loads the client module, which
 * finds the socket through P11_KIT_SERVER_ADDRESS.
 */
export class P11KitServer {
  readonly modulePath: string;
  readonly #folder: ScratchFolder;
  readonly #socket: string;
  #process: ChildProcess | undefined;

  constructor(folder: ScratchFolder) {
    const client = CLIENT_MODULES.find((path) => existsSync(path));
    if (!client) throw new Error("expected p11-kit's client module: `apt-get install p11-kit p11-kit-modules`");
    this.modulePath = client;
    this.#folder = folder;
    this.#socket = join(folder.directory, "hsm.sock");
    process.env["P11_KIT_SERVER_ADDRESS"] = `unix:path=${this.#socket}`;
  }

  async start(): Promise<void> {
    const { modulePath, environment } = this.#folder;
    const command = ["server", "--foreground", "--name", this.#socket, "--provider", modulePath, "pkcs11:"];
    this.#process = spawn("p11-kit", command, { env: { ...process.env, ...environment }, stdio: "ignore" });
    await eventually("p11-kit server has opened its socket", () => existsSync(this.#socket));
  }

  /** SIGKILL, as a crash of the HSM's process would look; its socket file stays behind and is removed here. */
  async kill(): Promise<void> {
    const ended = new Promise((resolve) => this.#process?.once("exit", resolve));
    this.#process?.kill("SIGKILL");
    if (this.#process) await ended;
    this.#process = undefined;
    rmSync(this.#socket, { force: true });
  }

  async remove(): Promise<void> {
    await this.kill();
    delete process.env["P11_KIT_SERVER_ADDRESS"];
  }
}
