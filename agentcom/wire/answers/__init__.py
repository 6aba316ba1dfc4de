"""What the HTTP API answers, one Struct for each shape of body.

Handlers give plain values; the document of the API is made of these, and the
tests hold real answers against them.  A body may have more fields than its
Struct, and a field whose default is ``UNSET`` may be absent.
"""
