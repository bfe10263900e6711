import { startEdge, type EdgeOptions } from "./main.ts";

/** Entry of `dist/edge.cjs`, which the supervisor starts with the options as its one argument. */
startEdge(JSON.parse(process.argv[2]!) as EdgeOptions);
