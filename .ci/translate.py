"""Prints the CloudFormation template that AWS makes of a SAM template, without AWS.

cfn-lint and `sam validate` check a SAM template against loose schemas, and miss misspelt event properties and references
to nothing. SAM's own translator and cfn-lint on what it makes find them.

Usage: python translate.py template.yaml
"""

import json
import os
import sys

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samtranslator.public.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies:
    """Stands in for the list of AWS managed policies: roles here are written out."""

    def load(self):
        return {}


def translated(path):
    """The CloudFormation template of the SAM template at `path`."""
    with open(path, encoding="utf-8") as file:
        template = yaml_parse(file.read())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # Where a package goes is known after `sam build`; any place in S3 has the right form.
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    parameters = template.get("Parameters", {})
    defaults = {name: parameter["Default"] for name, parameter in parameters.items() if "Default" in parameter}
    return transform(template, defaults, NoManagedPolicies())


if __name__ == "__main__":
    try:
        json.dump(translated(sys.argv[1]), sys.stdout, indent=1)
    except InvalidDocumentException as error:
        sys.exit("\n".join(cause.message for cause in error.causes))
