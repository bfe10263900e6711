import fc from "fast-check";

// `npm test` runs the same sample of cases every time; the soak looks for others.
if (process.env["SOAK"] === undefined) fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: 20_260_722 });
