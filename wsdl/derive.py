#!/usr/bin/env python3
"""Derives the vim25 WSDL and its companions from the type metadata of pyVmomi.

A vCenter serves its WSDL at /sdk/vimService.wsdl, but nobody else may publish it. pyVmomi carries the same facts as
calls such as `CreateDataType("vim.AboutInfo", "AboutInfo", ...)` in three modules. This script runs these modules
against a stub that records the calls, then writes the files that a vCenter serves, and beside them what a WSDL cannot
say. The same metadata always gives the same bytes. README.md describes the files.

    python3 -m pip download --no-deps --require-hashes -r requirements.txt
    python3 -m zipfile -e pyvmomi-*.whl unpacked
    python3 derive.py --pyvmomi unpacked/pyVmomi --out .
"""

import argparse
import json
import sys
import types
from dataclasses import dataclass, field, replace
from pathlib import Path

# Flags of a member, as the metadata has them.
LINK, LINKABLE, OPTIONAL, SECRET = 1, 2, 4, 8

# The modules of the metadata, in the order in which they build on each other; a schema file is made of each.
SOURCES = ("core", "query", "vim")

# Names that VMODL and XML Schema spell differently; the rest of the scalars are spelled alike.
SCALARS = {name: "xsd:" + name for name in
           ("string", "boolean", "byte", "short", "int", "long", "float", "double", "anyType")} | {
    "vmodl.DateTime": "xsd:dateTime",
    "vmodl.Binary": "xsd:base64Binary",
    "vmodl.URI": "xsd:anyURI",
    "vmodl.TypeName": "xsd:string",
    "vmodl.MethodName": "xsd:string",
    "vmodl.PropertyPath": "xsd:string",
}

# Scalars that are strings on the wire and name something: the kind that data-annotations.json keeps.
NAMING_SCALARS = ("vmodl.TypeName", "vmodl.MethodName", "vmodl.PropertyPath")

# Array types that every vCenter declares without a use in the public metadata.
UNUSED_ARRAYS = """
    HbrManagerVmReplicationCapability ServiceLocator HostLowLevelProvisioningManagerSnapshotLayoutSpec
    HostLowLevelProvisioningManagerFileReserveSpec HostLowLevelProvisioningManagerFileReserveResult
    HostLowLevelProvisioningManagerFileDeleteSpec HostLowLevelProvisioningManagerFileDeleteResult
    HostVmciAccessManagerAccessSpec ProfilePropertyPath HostProfilesEntityCustomizations
    HostProfileManagerHostToConfigSpecMap VirtualMachineConfigSpec VirtualMachineMetadataManagerVmMetadataInput
    VirtualMachineMetadataManagerVmMetadataResult""".split()

# Array types of the core schema: ArrayOf<first>, the name and the type of the element.
CORE_ARRAYS = [
    ("ManagedObjectReference", "ManagedObjectReference", "vim25:ManagedObjectReference"),
    ("AnyURI", "anyURI", "xsd:anyURI"),
    ("Boolean", "boolean", "xsd:boolean"),
    ("Byte", "byte", "xsd:byte"),
    ("Short", "short", "xsd:short"),
    ("Int", "int", "xsd:int"),
    ("Long", "long", "xsd:long"),
    ("Double", "double", "xsd:double"),
    ("String", "string", "xsd:string"),
    ("Uri", "uri", "xsd:anyURI"),
    ("Base64Binary", "base64Binary", "xsd:base64Binary"),
    ("AnyType", "anyType", "xsd:anyType"),
]


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--pyvmomi", required=True, type=Path, help="the unpacked package pyVmomi")
    options.add_argument("--version", help="a public version such as 7.0.2.0; the newest when not given")
    options.add_argument("--out", default=".", type=Path, help="where the files go")
    options.add_argument("--late", choices=("optional", "required"), default="optional",
                         help="required members younger than their type: optional as in the WSDLs up to 9.0 (and as a "
                              "reader of several versions wants it), or required as in 9.1")
    args = options.parse_args()

    registry = Registry(args.pyvmomi)
    view = View(registry, registry.find_version(args.version), args.late == "optional")
    args.out.mkdir(parents=True, exist_ok=True)
    for name, text in {**schemas(view), **companions(view)}.items():
        (args.out / name).write_text(text, encoding="utf-8", newline="\n")
    print(f"{view.wire_version}: {len(view.data)} data types, {len(view.enums)} enums, "
          f"{len(view.managed)} managed objects, {len(view.all_methods())} methods")


# ------------------------------------------------------------------------------------------------- the metadata

@dataclass
class Member:
    """A property of a data type or a managed object, or a parameter of a method."""
    name: str
    type: str
    since: str
    flags: int
    privilege: str | None = None

    @property
    def optional(self):
        return bool(self.flags & OPTIONAL)


@dataclass
class Method:
    """A method; its name in VMODL, and on the wire."""
    vmodl: str
    wsdl: str
    since: str
    params: list
    result_flags: int
    result: str
    # What the task yields: the result of a method that returns a task.
    task_result: str
    privilege: str | None
    faults: list

    @property
    def is_task(self):
        return self.wsdl.endswith("_Task")


@dataclass
class Type:
    """A data type, an enum (values) or a managed object (methods); its name in VMODL, and on the wire."""
    vmodl: str
    wsdl: str
    parent: str | None
    since: str
    source: str
    members: list = field(default_factory=list)
    methods: list = field(default_factory=list)
    values: list = field(default_factory=list)


class Registry:
    """All types and versions of the metadata."""

    def __init__(self, package):
        self.data, self.enums, self.managed = {}, {}, {}
        # VMODL version -> its public id on the wire, and -> all versions that it includes.
        self.wire_ids, self.includes = {}, {}
        self.newest = []
        for source in SOURCES:
            self._run(package / f"_typeinfo_{source}.py", source)
        self._add_built_in()
        self._date_nested_types()
        # These two are in no published WSDL.
        for name in ("vmodl.DynamicArray", "vmodl.DynamicData"):
            members = self.data[name].members
            members[:] = [m for m in members if m.name not in ("dynamicType", "dynamicProperty")]

    def _run(self, path, source):
        """Runs one module of the metadata; its `from .VmomiSupport import ...` finds the stub."""
        package = types.ModuleType("_recorded")
        package.__path__ = []
        sys.modules["_recorded"], sys.modules["_recorded.VmomiSupport"] = package, self._stub(source)
        code = compile(path.read_text(encoding="utf-8"), str(path), "exec")
        exec(code, {"__name__": f"_recorded._typeinfo_{source}", "__package__": "_recorded"})

    def _stub(self, source):
        """The part of pyVmomi's support module that the metadata calls, recording."""

        def members(tuples):
            return [Member(*values[:5]) for values in tuples or []]

        def method(vmodl, wsdl, since, params, result, privilege, faults):
            return Method(vmodl, wsdl, since, members(params), *result, privilege, faults or [])

        def data_type(vmodl, wsdl, parent, since, properties):
            # Beyond the flags a data type's properties have nothing to say.
            self.data[vmodl] = Type(vmodl, wsdl, parent, since, source,
                                    members([values[:4] for values in properties or []]))

        def enum_type(vmodl, wsdl, since, values):
            self.enums[vmodl] = Type(vmodl, wsdl, None, since, source, values=list(values))

        def managed_type(vmodl, wsdl, parent, since, properties, methods):
            self.managed[vmodl] = Type(vmodl, wsdl, parent, since, source, members(properties),
                                       [method(*values) for values in methods or []])

        def version(name, _namespace, wire_id, _is_legacy, _service):
            self.wire_ids[name] = wire_id

        def version_parent(name, parent):
            self.includes.setdefault(name, set()).add(parent)

        stub = types.ModuleType("_recorded.VmomiSupport")
        stub.F_LINK, stub.F_LINKABLE, stub.F_OPTIONAL, stub.F_SECRET = LINK, LINKABLE, OPTIONAL, SECRET
        stub.CreateDataType, stub.CreateEnumType, stub.CreateManagedType = data_type, enum_type, managed_type
        stub.AddVersion, stub.AddVersionParent = version, version_parent
        stub.AddBreakingChangesInfo = lambda *_: None
        stub.newestVersions = types.SimpleNamespace(Add=self.newest.append)
        for name in ("ltsVersions", "oldestVersions", "dottedVersions"):
            setattr(stub, name, types.SimpleNamespace(Add=lambda _: None))
        return stub

    def _add_built_in(self):
        """The roots of the faults: pyVmomi builds them by hand, outside of the metadata."""
        base, first = "vmodl.version.version0", "vmodl.version.version1"
        for name, parent, members in [
            ("MethodFault", "vmodl.DataObject", [
                Member("faultCause", "vmodl.MethodFault", first, OPTIONAL),
                Member("faultMessage", "vmodl.LocalizableMessage[]", first, OPTIONAL)]),
            ("RuntimeFault", "vmodl.MethodFault", []),
            # The one place of a fault that is not itself wrapped: `!` marks it.
            ("LocalizedMethodFault", "vmodl.DynamicData", [
                Member("fault", "!vmodl.MethodFault", base, 0),
                Member("localizedMessage", "string", base, OPTIONAL)]),
        ]:
            self.data["vmodl." + name] = Type("vmodl." + name, name, parent, base, "core", members)

    def _date_nested_types(self):
        """A nested type is never older than the types around it, though the metadata gives some the version of
        their name space."""
        everything = {**self.data, **self.enums, **self.managed}
        for name, nested in everything.items():
            parts = name.split(".")
            for end in range(2, len(parts)):
                around = everything.get(".".join(parts[:end]))
                if around and nested.since in self.includes[around.since]:
                    nested.since = around.since

    def find_version(self, wire_id):
        """The VMODL version of a public id; the newest without one."""
        if wire_id is None:
            return [version for version in self.newest if version.startswith("vim.")][-1]
        for version, known in self.wire_ids.items():
            if known == wire_id and version.startswith("vim."):
                return version
        raise SystemExit(f"unknown version {wire_id}")

    def public_versions(self):
        """The released versions of vim, oldest first. Ids such as m5CA1EF4D are of features not yet released."""
        versions = [v for v in self.wire_ids if v.startswith("vim.version.") and not self.wire_ids[v].startswith("m")]
        return sorted(versions, key=lambda version: len(self.includes[version]))

    def first_public(self):
        """VMODL version -> the id of the first public version that includes it."""
        first = {}
        for public in reversed(self.public_versions()):
            for version in self.includes[public]:
                first[version] = self.wire_ids[public]
        return first


class View:
    """What of a registry one version of the API has."""

    def __init__(self, registry, version, late_is_optional):
        self.registry, self.version, self.late_is_optional = registry, version, late_is_optional
        self.wire_version = registry.wire_ids[version]
        self.included = registry.includes[version]
        self.data, self.enums, self.managed = (
            {name: t for name, t in table.items() if t.since in self.included}
            for table in (registry.data, registry.enums, registry.managed))
        self.faults = {name for name in self.data if self._is_fault(name)}

    def _is_fault(self, name):
        while name in self.registry.data:
            if name == "vmodl.MethodFault":
                return True
            name = self.registry.data[name].parent
        return False

    def members(self, members, owner_since):
        """The members that this version has.

        A member that is required, but younger than its owner and than 2.5 (the first version of urn:vim25), is
        optional on the wire: older clients do not send it, and older servers do not know it."""
        visible = [m for m in members if m.since in self.included]
        if not self.late_is_optional:
            return visible
        includes = self.registry.includes
        known_before = includes[owner_since] | includes["vim.version.version2"]
        return [m if m.since in known_before else replace(m, flags=m.flags | OPTIONAL) for m in visible]

    def members_of(self, owner):
        return self.members(owner.members, owner.since)

    def params_of(self, method):
        return self.members(method.params, method.since)

    def methods_of(self, managed):
        return [method for method in managed.methods if method.since in self.included]

    def all_methods(self, sources=SOURCES):
        return [method for source in sources for managed in self.managed.values() if managed.source == source
                for method in self.methods_of(managed)]

    def fault_names(self, method):
        """The declared faults in the order of the published WSDLs: by VMODL name."""
        return [self.data[name].wsdl for name in sorted(method.faults) if name in self.data]

    def value(self, vmodl_type, flags=0):
        """What stands on the wire for a VMODL type: the XSD type, whether it is an array, and what is lost by that."""
        item, is_array = split_array(vmodl_type)
        xsd, lost = self._item(item, flags)
        return xsd, is_array, lost

    def _item(self, name, flags):
        known = self.registry
        if name.startswith("!"):
            return "vim25:" + known.data[name[1:]].wsdl, {}
        if flags & LINK:
            return "xsd:string", {"link": self._wsdl_name(name)}
        if name in SCALARS:
            return SCALARS[name], {"text": name.removeprefix("vmodl.")} if name in NAMING_SCALARS else {}
        if name == "vmodl.ManagedObject":
            return "vim25:ManagedObjectReference", {}
        if name in known.managed:
            return "vim25:ManagedObjectReference", {"ref": known.managed[name].wsdl}
        if name in known.enums:
            return "vim25:" + known.enums[name].wsdl, {}
        if name in self.faults:
            fault = {} if name == "vmodl.MethodFault" else {"fault": known.data[name].wsdl}
            return "vim25:LocalizedMethodFault", fault
        return "vim25:" + known.data[name].wsdl, {}

    def _wsdl_name(self, name):
        for table in (self.registry.data, self.registry.enums, self.registry.managed):
            if name in table:
                return table[name].wsdl
        return name

    def array_items(self):
        """The types X that have an ArrayOfX: where X[] is a visible property, parameter or result."""
        used = []
        for data in self.data.values():
            used += [m.type for m in self.members_of(data) if not m.flags & LINK]
        for managed in self.managed.values():
            used += [m.type for m in self.members_of(managed)]
        for method in self.all_methods():
            used += [m.type for m in self.params_of(method)] + [method.result, method.task_result]
        items = {split_array(t)[0] for t in used if t and t.endswith("[]")}
        return items | {name for name, data in self.data.items() if data.wsdl in UNUSED_ARRAYS}


def split_array(vmodl_type):
    return vmodl_type.removesuffix("[]"), vmodl_type.endswith("[]")


# --------------------------------------------------------------------------------------- the WSDL and its schemas

def schemas(view):
    """The files that a vCenter serves, by name."""
    def include(*names):
        return "".join(f'   <include schemaLocation="{name}" />\n' for name in names)

    def reflect(name, namespace="urn:reflect"):
        return f'   <import namespace="{namespace}" schemaLocation="{name}" />\n'

    core = reflect("core-types.xsd", "urn:vim25")
    return {
        "core-types.xsd": schema("", type_lines(view, "core")),
        "query-types.xsd": schema(include("core-types.xsd"), type_lines(view, "query")),
        "vim-types.xsd": schema(include("query-types.xsd", "core-types.xsd") + reflect("reflect-types.xsd"),
                                type_lines(view, "vim"), reflects=True),
        "query-messagetypes.xsd": schema(include("core-types.xsd", "query-types.xsd"), request_lines(view, "query")),
        "vim-messagetypes.xsd": schema(include("core-types.xsd") + reflect("reflect-types.xsd")
                                       + include("query-types.xsd", "vim-types.xsd"),
                                       request_lines(view, "vim"), reflects=True),
        "reflect-types.xsd": schema(core, [], "urn:reflect", reflects=True),
        "reflect-messagetypes.xsd": schema(core + include("reflect-types.xsd"), [], "urn:reflect", reflects=True),
        "vim.wsdl": vim_wsdl(view),
        "vimService.wsdl": SERVICE,
    }


XML = '<?xml version="1.0" encoding="UTF-8" ?>\n'

SERVICE = XML + """\
<definitions targetNamespace="urn:vim25Service"
   xmlns="http://schemas.xmlsoap.org/wsdl/"
   xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
   xmlns:interface="urn:vim25"
>
   <import location="vim.wsdl" namespace="urn:vim25" />
   <service name="VimService">
      <port binding="interface:VimBinding" name="VimPort">
         <soap:address location="https://localhost/sdk/vimService" />
      </port>
   </service>
</definitions>
"""


def schema(includes, lines, namespace="urn:vim25", reflects=False):
    head = [
        "<schema",
        f'   targetNamespace="{namespace}"',
        '   xmlns="http://www.w3.org/2001/XMLSchema"',
        '   xmlns:vim25="urn:vim25"',
        '   xmlns:xsd="http://www.w3.org/2001/XMLSchema"',
        *(['   xmlns:reflect="urn:reflect"'] if reflects else []),
        '   elementFormDefault="qualified"',
        ">",
    ]
    return XML + joined(head) + includes + joined(lines) + "</schema>\n"


def joined(lines):
    return "".join(line + "\n" for line in lines)


def type_lines(view, source):
    arrays = view.array_items()
    lines = []
    for name, data in view.data.items():
        if data.source == source:
            base = None if data.parent == "vmodl.DataObject" else view.registry.data[data.parent].wsdl
            indent = " " * (15 if base else 9)
            elements = [element(view, m.name, m.type, m.flags, indent) for m in view.members_of(data)]
            lines += complex_type(data.wsdl, base, elements)
            if name in arrays:
                lines += array_type(data.wsdl, data.wsdl, "vim25:" + data.wsdl)
    for name, enum in view.enums.items():
        if enum.source == source:
            if name in arrays:
                lines += array_type(enum.wsdl, enum.wsdl, "vim25:" + enum.wsdl)
            lines += [f'   <simpleType name="{enum.wsdl}">', '      <restriction base="xsd:string">']
            lines += [f'         <enumeration value="{value}" />' for value in enum.values]
            lines += ["      </restriction>", "   </simpleType>"]
    if source == "core":
        lines += [
            '   <complexType name="ManagedObjectReference">',
            "      <simpleContent>",
            '         <extension base="xsd:string">',
            '            <attribute name="type" type="xsd:string"/>',
            "         </extension>",
            "      </simpleContent>",
            "   </complexType>",
        ]
        for names in CORE_ARRAYS:
            lines += array_type(*names)
    return lines


def element(view, name, vmodl_type, flags, indent):
    xsd, is_array, _ = view.value(vmodl_type, flags)
    optional = ' minOccurs="0"' if flags & OPTIONAL else ""
    repeated = ' maxOccurs="unbounded"' if is_array else ""
    return f'{indent}<element name="{name}" type="{xsd}"{optional}{repeated} />'


def complex_type(name, base, elements):
    opened, closed = ["      <sequence>"], ["      </sequence>"]
    if base:
        opened = ["      <complexContent>", f'         <extension base="vim25:{base}">', "            <sequence>"]
        closed = ["            </sequence>", "         </extension>", "      </complexContent>"]
    return [f'   <complexType name="{name}">', *opened, *elements, *closed, "   </complexType>"]


def array_type(name, item, xsd):
    only = f'         <element name="{item}" type="{xsd}" minOccurs="0" maxOccurs="unbounded" />'
    return complex_type("ArrayOf" + name, None, [only])


def request_type(method):
    return method.wsdl.removesuffix("_Task") + "RequestType"


def request_lines(view, source):
    lines = []
    for method in view.all_methods([source]):
        this = '         <element name="_this" type="vim25:ManagedObjectReference" />'
        params = [element(view, m.name, m.type, m.flags, " " * 9) for m in view.params_of(method)]
        lines += complex_type(request_type(method), None, [this, *params])
    return lines


def vim_wsdl(view):
    faults = [data.wsdl for source in SOURCES for name, data in view.data.items()
              if name in view.faults and data.source == source]
    # The published WSDLs list the operations of PropertyCollector last, their elements first.
    methods = view.all_methods(["vim", "query"])
    lines = [
        '<definitions targetNamespace="urn:vim25"',
        '   xmlns="http://schemas.xmlsoap.org/wsdl/"',
        '   xmlns:mime="http://schemas.xmlsoap.org/wsdl/mime/"',
        '   xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"',
        '   xmlns:vim25="urn:vim25"',
        '   xmlns:xsd="http://www.w3.org/2001/XMLSchema"',
        ">",
        "   <types>",
        "      <schema",
        '         targetNamespace="urn:vim25"',
        '         xmlns="http://www.w3.org/2001/XMLSchema"',
        '         xmlns:vim25="urn:vim25"',
        '         xmlns:xsd="http://www.w3.org/2001/XMLSchema"',
        '         xmlns:reflect="urn:reflect"',
        '         elementFormDefault="qualified"',
        "      >",
        '         <include schemaLocation="core-types.xsd" />',
        '         <import namespace="urn:reflect" schemaLocation="reflect-messagetypes.xsd" />',
        '         <include schemaLocation="query-messagetypes.xsd" />',
        '         <include schemaLocation="vim-messagetypes.xsd" />',
        '         <element name="versionURI" type="xsd:string" />',
        *[f'         <element name="{fault}Fault" type="vim25:{fault}"/>' for fault in faults],
    ]
    for method in view.all_methods(["query", "vim"]):
        lines += operation_elements(view, method)
    lines += ["      </schema>", "   </types>"]
    for method in methods:
        lines += message(method.wsdl + "RequestMsg", "parameters", method.wsdl)
        lines += message(method.wsdl + "ResponseMsg", "parameters", method.wsdl + "Response")
    for fault in sorted(faults):
        lines += message(fault + "FaultMsg", "fault", fault + "Fault")
    lines.append('   <portType name="VimPortType">')
    for method in methods:
        lines += port_operation(view, method)
    lines += [
        "   </portType>",
        '   <binding name="VimBinding" type="vim25:VimPortType">',
        '      <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http" />',
    ]
    for method in methods:
        lines += bound_operation(view, method)
    return XML + joined(lines + ["   </binding>", "</definitions>"])


def operation_elements(view, method):
    request = f'         <element name="{method.wsdl}"  type="vim25:{request_type(method)}" />'
    answer = ["            <complexType />"]
    if method.result != "void":
        # The flags of a method that returns a task speak of what the task yields.
        flags = 0 if method.is_task else method.result_flags & ~LINK
        answer = [
            "            <complexType>",
            "               <sequence>",
            element(view, "returnval", method.result, flags, " " * 18),
            "               </sequence>",
            "            </complexType>",
        ]
    return [request, f'         <element name="{method.wsdl}Response">', *answer, "         </element>"]


def message(name, part, element_name):
    return [
        f'   <message name="{name}">',
        f'      <part name="{part}" element="vim25:{element_name}" />',
        "   </message>",
    ]


def port_operation(view, method):
    return [
        f'      <operation name="{method.wsdl}">',
        f'         <input message="vim25:{method.wsdl}RequestMsg" />',
        f'         <output message="vim25:{method.wsdl}ResponseMsg" />',
        *[f'         <fault name="{fault}Fault" message="vim25:{fault}FaultMsg"/>'
          for fault in view.fault_names(method)],
        '         <fault name="RuntimeFault" message="vim25:RuntimeFaultFaultMsg"/>',
        "      </operation>",
    ]


def bound_operation(view, method):
    lines = [
        f'      <operation name="{method.wsdl}">',
        f'         <soap:operation soapAction="urn:vim25/{view.wire_version}" style="document" />',
    ]
    for direction in ("input", "output"):
        lines += [f"         <{direction}>", '            <soap:body use="literal" />', f"         </{direction}>"]
    for fault in [name + "Fault" for name in view.fault_names(method)] + ["RuntimeFault"]:
        lines += [
            f'         <fault name="{fault}">',
            f'            <soap:fault name="{fault}" use="literal" />',
            "         </fault>",
        ]
    return lines + ["      </operation>"]


# ------------------------------------------------------------------------------------- what a WSDL cannot say

def companions(view):
    """The JSON files, by name; README.md explains their keys."""
    registry = view.registry
    versions = [(registry.wire_ids[v], v) for v in registry.public_versions() if v in view.included]
    return {
        "managed-objects.json": managed_objects(view),
        "data-annotations.json": data_annotations(view),
        "versions.json": compact(versions) + "\n",
    }


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def line_each(facts):
    """A JSON object with one key a line: a change of the API then reads well as a difference."""
    return "{\n" + ",\n".join(f"{compact(key)}:{compact(value)}" for key, value in facts.items()) + "\n}"


def by_wire_name(table):
    return sorted(table.values(), key=lambda t: t.wsdl)


def type_text(view, vmodl_type, flags=0):
    """The local name of the XSD type, or *X for a reference to a managed object X; [] for an array."""
    xsd, is_array, lost = view.value(vmodl_type, flags)
    name = xsd.split(":")[1]
    if name == "ManagedObjectReference":
        name = "*" + lost.get("ref", "")
    return name + ("[]" if is_array else "")


def managed_objects(view):
    first = view.registry.first_public()
    facts = {}
    for managed in by_wire_name(view.managed):
        entry = {"vmodl": managed.vmodl, "s": first[managed.since]}
        if managed.parent != "vmodl.ManagedObject":
            entry["base"] = view.registry.managed[managed.parent].wsdl
        properties = []
        for m in view.members_of(managed):
            lost = view.value(m.type, m.flags)[2]
            lost = {key: value for key, value in lost.items() if key != "ref"}
            properties.append(member_facts(view, m, managed.since, first, lost))
        methods = [method_facts(view, method, managed, first) for method in view.methods_of(managed)]
        if properties:
            entry["props"] = properties
        if methods:
            entry["methods"] = methods
        facts[managed.wsdl] = entry
    return line_each(facts) + "\n"


def member_facts(view, member, owner_since, first, lost):
    entry = {"n": member.name, "t": type_text(view, member.type, member.flags), **lost}
    if member.optional:
        entry["o"] = 1
    if member.flags & SECRET:
        entry["secret"] = 1
    if first[member.since] != first[owner_since]:
        entry["s"] = first[member.since]
    if member.privilege:
        entry["p"] = member.privilege
    return entry


def method_facts(view, method, managed, first):
    entry = {"n": method.wsdl}
    if method.vmodl[:1].upper() + method.vmodl[1:] != method.wsdl.removesuffix("_Task"):
        entry["v"] = method.vmodl
    optional = bool(method.result_flags & OPTIONAL)
    if method.is_task:
        if method.task_result and method.task_result != "void":
            entry["task"] = type_text(view, method.task_result)
            if optional:
                entry["task_o"] = 1
    elif method.result != "void":
        entry["r"] = type_text(view, method.result)
        if optional:
            entry["ro"] = 1
    params = [member_facts(view, m, method.since, first, {}) for m in view.params_of(method)]
    if params:
        entry["a"] = params
    if first[method.since] != first[managed.since]:
        entry["s"] = first[method.since]
    if method.privilege:
        entry["p"] = method.privilege
    faults = view.fault_names(method)
    if faults:
        entry["f"] = faults
    return entry


def data_annotations(view):
    first = view.registry.first_public()
    facts = {}
    for data in by_wire_name(view.data):
        fields = {}
        for m in view.members_of(data):
            notes = {} if first[m.since] == first[data.since] else {"s": first[m.since]}
            notes |= view.value(m.type, m.flags)[2]
            if m.flags & SECRET:
                notes["secret"] = 1
            if notes:
                fields[m.name] = notes
        facts[data.wsdl] = {"s": first[data.since]} | ({"p": fields} if fields else {})
    enums = {enum.wsdl: first[enum.since] for enum in by_wire_name(view.enums)}
    return f'{{"data":{line_each(facts)},\n"enums":{compact(enums)}}}\n'


if __name__ == "__main__":
    main()
