//! The wire of the vSphere SOAP API: XML codec, object protocol, faults and HTTP session.
