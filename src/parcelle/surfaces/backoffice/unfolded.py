"""What unfold says: it ships no translations, so its sentences are listed here to be translated with ours.

`tests/surfaces/backoffice/test_words.py` compares the list with unfold's templates.
"""

from __future__ import annotations

from django.utils.translation import gettext_noop as _
from django.utils.translation import ngettext_lazy

SENTENCES = (
    _("Action"),
    _("Add row"),
    _("After you've created a user, you’ll be able to edit more user options."),
    _("All applications"),
    _("Apply Filters"),
    _(
        'Are you sure you want to delete the %(object_name)s "%(escaped_object)s"? All of the following related items '
        "will be deleted:"
    ),
    _("Available shortcuts"),
    _("Changelist shortcuts"),
    _("Choose file to upload"),
    _("Click here to select the objects across all pages"),
    _("Click to cancel"),
    _("Click to download"),
    _("Command tool shortcuts"),
    _("Create new record"),
    _("Dark"),
    _("Dataset not found. No action performed."),
    _("Date"),
    _(
        "Deleting the %(object_name)s '%(escaped_object)s' would require deleting the following protected related "
        "objects:"
    ),
    _(
        "Deleting the %(object_name)s '%(escaped_object)s' would result in deleting related objects, but your account "
        "doesn't have permission to delete the following types of objects:"
    ),
    _("False"),
    _("Filters"),
    _("Forgotten your password or username?"),
    _("General"),
    _("Global shortcuts"),
    _("Go back"),
    _("Image preview"),
    _("Light"),
    _("Models in the %(name)s application"),
    _("Navigate"),
    _("Next"),
    _("No data"),
    _("No results found"),
    _("Nothing matched your search"),
    _("Open command tool"),
    _("Open selection"),
    _("Open selection in new tab"),
    _("Open shortcuts list"),
    _("Previous"),
    _("Recent searches"),
    _("Record picture"),
    _("Reset filters"),
    _("Return to site"),
    _("Run the selected action"),
    _("Search apps and models..."),
    _("Select"),
    _("Select action"),
    _("Select action to run"),
    _("Select currency"),
    _("Select record"),
    _("Select value"),
    _("Submit"),
    _("System"),
    _("This item will be deleted."),
    _("This page yielded into no results."),
    _("Toggle dark/light mode"),
    _("Toggle filter"),
    _("Toggle password visibility"),
    _("Toggle sidebar"),
    _("True"),
    _("Type to search"),
    _("Welcome back to"),
    _("You can not create nested object without parent"),
    _("You have been successfully logged out from the administration"),
    ngettext_lazy(
        '\n            Found <span class="font-medium text-important">%(counter)s</span> result in %(time)s seconds\n'
        "        ",
        '\n            Found <span class="font-medium text-important">%(counter)s</span> results in %(time)s seconds\n'
        "        ",
        "counter",
    ),
)
