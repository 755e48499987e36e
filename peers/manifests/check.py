"""Checks manifests of Kubernetes strictly, by the schemas that kubernetes-validate brings along.

    python3 check.py FOLDER

stdout is one JSON object: {checked} counts the manifests by their kind, and {unknown} names the kinds of others than Kubernetes
itself. It fails where a manifest is wrong, or where the kustomization and the files in the folder are not the same.
"""

import collections
import json
import pathlib
import sys

import kubernetes_validate
import yaml

folder = pathlib.Path(sys.argv[1])
checked, unknown, problems = collections.Counter(), set(), []
named, manifests = set(), set()

for path in sorted(folder.glob("*.yaml")):
    for manifest in yaml.safe_load_all(path.read_text()):
        if not manifest or "apiVersion" not in manifest:
            continue
        kind = manifest["kind"]
        if kind == "Kustomization":
            named |= set(manifest["resources"])
            generated = [file for one in manifest.get("configMapGenerator", []) for file in one.get("files", [])]
            sources = {file.partition("=")[2] or file for file in generated}
            problems += [f"{path.name}: there is no {file}" for file in sources if not (folder / file).exists()]
            continue
        manifests.add(path.name)
        try:
            kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
            checked[kind] += 1
        except kubernetes_validate.SchemaNotFoundError:
            unknown.add(kind)
        except kubernetes_validate.ValidationError as error:
            problems.append(f"{path.name}: {kind}: {'.'.join(map(str, error.path))}: {error.message}")

# An example has to be copied to what the kustomization names.
examples = {name for name in manifests if ".example." in name}
copies = {name.replace(".example.", ".") for name in examples}
problems += [f"the kustomization names {name}, which is not there" for name in sorted(named - manifests - copies)]
problems += [f"the kustomization does not name {name}" for name in sorted(manifests - examples - named)]
if problems:
    sys.exit("\n".join(problems))
print(json.dumps({"checked": checked, "unknown": sorted(unknown)}))
