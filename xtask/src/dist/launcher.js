#!/usr/bin/env node
// Starts the program of mcvsphere that npm has installed for this platform.
"use strict";

const { spawn } = require("node:child_process");

const part = `mcvsphere-${process.platform}-${process.arch}`;
let program;
try {
  program = require.resolve(`${part}/bin/mcvsphere`);
} catch {
  console.error(
    `mcvsphere: the package ${part} is not installed: either there is none for this platform, or npm left optional ` +
      "dependencies out (--omit=optional)",
  );
  process.exit(1);
}

const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
for (const signal of signals) process.on(signal, () => child.kill(signal));
child.on("error", (error) => {
  console.error(`mcvsphere: ${program} cannot be started: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code);
  // Ends as the program ended.
  for (const one of signals) process.removeAllListeners(one);
  process.kill(process.pid, signal);
});
