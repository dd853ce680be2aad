"""The torture application, checked from both sides by wsgiref's validator."""
from wsgiref.validate import validator

import torture

application = validator(torture.application)
