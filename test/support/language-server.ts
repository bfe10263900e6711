import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath, pathToFileURL } from "node:url";

const PROGRAM = fileURLToPath(
  new URL("../../node_modules/yaml-language-server/bin/yaml-language-server", import.meta.url),
);

export type Diagnostic = {
  readonly message: string;
  readonly range: { readonly start: { readonly line: number; readonly character: number } };
};
type Position = { readonly line: number; readonly character: number };
type Message = { readonly id?: number; readonly method?: string; readonly params?: unknown; readonly result?: unknown };

/** yaml-language-server as an editor runs it: a process that is spoken to by LSP 3.17 over its standard streams. */
export class LanguageServer {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers = new Map<number, (result: unknown) => void>();
  readonly #diagnostics = new Map<string, (found: Diagnostic[]) => void>();
  readonly #isConfigured = settled();
  readonly #schema: string;
  #received = Buffer.alloc(0);
  #nextId = 1;

  private constructor(schema: string) {
    this.#schema = pathToFileURL(schema).href;
    this.#process = spawn(process.execPath, [PROGRAM, "--stdio"], { stdio: ["pipe", "pipe", "ignore"] });
    this.#process.stdout.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  /** @param schema for every file that is opened */
  static async start(schema: string): Promise<LanguageServer> {
    const server = new LanguageServer(schema);
    await server.#ask("initialize", { processId: process.pid, rootUri: null, capabilities: CAPABILITIES });
    server.#tell("initialized", {});
    server.#tell("workspace/didChangeConfiguration", { settings: server.#settings() });
    await server.#isConfigured.promise; // what is opened before that is looked at without the schema
    return server;
  }

  async stop(): Promise<void> {
    const exited = once(this.#process, "exit");
    await this.#ask("shutdown", null);
    this.#tell("exit", null);
    await exited;
  }

  /** @returns what the editor would underline */
  async open(path: string, text: string): Promise<Diagnostic[]> {
    const uri = pathToFileURL(path).href;
    const found = new Promise<Diagnostic[]>((resolve) => this.#diagnostics.set(uri, resolve));
    this.#tell("textDocument/didOpen", { textDocument: { uri, languageId: "yaml", version: 1, text } });
    return found;
  }

  async complete(path: string, position: Position): Promise<readonly { label: string; documentation?: unknown }[]> {
    const result = await this.#ask("textDocument/completion", at(path, position));
    return (result as { items: { label: string }[] }).items;
  }

  async hover(path: string, position: Position): Promise<string> {
    const result = await this.#ask("textDocument/hover", at(path, position));
    return (result as { contents: { value: string } } | null)?.contents.value ?? "";
  }

  #settings() {
    return {
      yaml: {
        schemas: { [this.#schema]: "*" },
        validate: true,
        hover: true,
        completion: true,
        schemaStore: { enable: false },
      },
    };
  }

  #ask(method: string, params: unknown): Promise<unknown> {
    const id = this.#nextId++;
    const answer = new Promise((resolve) => this.#answers.set(id, resolve));
    this.#send({ id, method, params });
    return answer;
  }

  #tell(method: string, params: unknown): void {
    this.#send({ method, params });
  }

  #send(message: object): void {
    const body = Buffer.from(JSON.stringify({ jsonrpc: "2.0", ...message }));
    this.#process.stdin.write(`Content-Length: ${body.length}\r\n\r\n`);
    this.#process.stdin.write(body);
  }

  #read(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    for (;;) {
      const end = this.#received.indexOf("\r\n\r\n");
      if (end === -1) return;
      const length = Number(/Content-Length: (\d+)/i.exec(this.#received.subarray(0, end).toString())![1]);
      if (this.#received.length < end + 4 + length) return;
      const body = this.#received.subarray(end + 4, end + 4 + length).toString();
      this.#received = this.#received.subarray(end + 4 + length);
      this.#handle(JSON.parse(body) as Message);
    }
  }

  #handle({ id, method, params, result }: Message): void {
    if (method === "textDocument/publishDiagnostics") {
      const { uri, diagnostics } = params as { uri: string; diagnostics: Diagnostic[] };
      return this.#diagnostics.get(uri)?.(diagnostics);
    }
    if (method === "workspace/configuration" && id !== undefined) {
      const { items } = params as { items: { section: string }[] };
      const settings: Readonly<Record<string, unknown>> = this.#settings();
      this.#send({ id, result: items.map(({ section }) => settings[section] ?? null) });
      return this.#isConfigured.resolve();
    }
    if (method !== undefined && id !== undefined) return this.#send({ id, result: null });
    if (id !== undefined) this.#answers.get(id)?.(result);
  }
}

function settled(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

const at = (path: string, position: Position) => ({ textDocument: { uri: pathToFileURL(path).href }, position });

const CAPABILITIES = {
  workspace: { configuration: true, didChangeConfiguration: { dynamicRegistration: false } },
  textDocument: {
    publishDiagnostics: {},
    hover: { contentFormat: ["markdown"] },
    completion: { completionItem: { documentationFormat: ["markdown"] } },
  },
};
