import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { asOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output } from "../output.ts";

/** `clock confirm`: an officer says that the store's clock is right, after it has gained or nobody has watched it. */
export function clockCommands(program: Command): void {
  program
    .command("clock")
    .description("the clock by which windows forget")
    .command("confirm")
    .description("say that the store's clock agrees with this machine's, which you have held against another")
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (options: CommonOptions) => {
      const answer = await gatewayOf(options).call<{ confirmed: string }>("POST", "/v1/clock", {
        body: { seen: new Date().toISOString() },
        idempotencyKey: randomUUID(),
      });
      output(options.json).result(answer, `confirmed: the store's clock shows ${answer.confirmed}`);
    });
}
