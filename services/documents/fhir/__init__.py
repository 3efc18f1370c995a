"""FHIR R4 as documents speaks it (IHE MHD ITI-67, ITI-68, ITI-105; PDSm). Pure: bytes in, values and bytes out."""
