"""Pages that are the same for every stranger, kept as they were rendered until what they show changes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage
from django.http import HttpRequest, HttpResponse

_MOST, _LONGEST = 200, 200
_pages: OrderedDict[Hashable, bytes] = OrderedDict()
_lock = Lock()


def page(request: HttpRequest, key: Hashable, render: Callable[[], HttpResponse]) -> HttpResponse:
    """The kept page, or what `render` makes. `key`: everything that the page depends on.

    Such a page has no form that needs a token of its visitor. A visitor of whom anything is known gets a page of their
    own.
    """
    known = settings.SESSION_COOKIE_NAME in request.COOKIES or CookieStorage.cookie_name in request.COOKIES
    if known or len(request.get_full_path()) > _LONGEST:
        return render()
    with _lock:
        html = _pages.get(key)
        if html is not None:
            _pages.move_to_end(key)
    if html is None:
        html = render().content
        with _lock:
            _pages[key] = html
            while len(_pages) > _MOST:
                _pages.popitem(last=False)
    return HttpResponse(html)
