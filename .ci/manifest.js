// Puts a Forge manifest through the validator of Forge's own command line, and prints what it finds. Any finding is a
// failure, but the one warning that is meant.
// https://www.npmjs.com/package/@forge/manifest

const path = require("node:path");
const { createRequire } = require("node:module");

// Beside this file nothing is installed: the modules are where the page's are.
const [modules, file] = process.argv.slice(2);
const { FullValidationProcessor } = createRequire(path.resolve(modules, "package.json"))("@forge/manifest");

// That connect.remote is missing. infra/forge/manifest.yml says why.
const meant = (finding) => finding.level === "warning" && finding.message.includes("Previous connect region");

async function main() {
  process.chdir(path.dirname(path.resolve(file)));
  const validation = await new FullValidationProcessor({ deprecatedRuntimes: [] }).process(path.basename(file));
  const findings = (validation.errors ?? []).filter((finding) => !meant(finding));
  for (const { level, line, message } of findings) {
    console.error(`${file}:${line}: ${level}: ${message}`);
  }
  if (!validation.success || findings.length > 0) {
    process.exitCode = 1;
    return;
  }
  console.log(`${file}: valid`);
}

main();
