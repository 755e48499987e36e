//! Typed bindings of the whole vSphere API (vim25), generated from its WSDL.
