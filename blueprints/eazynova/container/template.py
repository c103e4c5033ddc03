"""Run by `odoo shell` in the template, once: the first user that `personalise` in blueprint.yaml signs in as.

Identifiers that `personalise` relies on are asserted here: a change fails the template, not a customer.
"""

import os

USER, COMPANY = 2, 1

admin = env.ref("base.user_admin")  # noqa: F821 given by the shell
company = env.ref("base.main_company")  # noqa: F821
if (admin.id, company.id) != (USER, COMPANY):
    raise SystemExit(f"The identifiers used in blueprint.yaml changed: {admin.id}, {company.id}")
for code in ("fr_FR", "en_US"):
    if not env["res.lang"]._lang_get(code):  # noqa: F821
        raise SystemExit(f"The language {code} was not loaded")
admin.write({"login": "owner", "password": os.environ["TEMPLATE_PASSWORD"]})
env.cr.commit()  # noqa: F821
