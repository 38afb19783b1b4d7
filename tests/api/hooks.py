"""What no description in OpenAPI can say: which valid-looking values are refused all the same, and with which problem."""

import schemathesis
