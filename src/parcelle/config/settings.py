"""All settings. Values come from `environment`; nothing else in the project reads environment variables."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from django.utils.translation import gettext_lazy as _

from parcelle.config import edge, environment, mail
from parcelle.core import jobs, logs
from parcelle.surfaces.backoffice import look

BASE_DIR = environment.CHECKOUT
HOME = environment.home()


def database(url: str) -> dict[str, object]:
    """A Django database entry from `postgresql://user:password@host:port/name?host=/socket/folder`."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    host, port = query.pop("host", parts.hostname or ""), query.pop("port", str(parts.port or ""))
    options: dict[str, object] = dict(query)
    # Without a pool a command that runs once says at once that nothing answers.
    if size := environment.number("PARCELLE_DATABASE_POOL", 32):
        options["pool"] = {"min_size": 1, "max_size": size, "timeout": 15}
    if environment.flag("PARCELLE_DATABASE_PREPARE", True):
        options |= {"server_side_binding": True, "prepare_threshold": 3}
    return {
        "ENGINE": "parcelle.core.database",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": port,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }


DEBUG = environment.flag("PARCELLE_DEBUG")
SECRET_KEY = environment.read("DJANGO_SECRET_KEY") or "not-for-serving: set DJANGO_SECRET_KEY"
SECRET_KEYS = environment.listed("PARCELLE_SECRET_KEYS")
# Where the embedded system keeps them; read again whenever it changes, see `core/keyring`.
SECRET_KEYS_FILE = environment.file_of("PARCELLE_SECRET_KEYS")
PUBLIC_URL = environment.read("PARCELLE_PUBLIC_URL") or f"http://localhost:{environment.number('PARCELLE_PORT', 8000)}"
# Paths are put behind it.
PUBLIC_URL = PUBLIC_URL.rstrip("/")
# Whether the site is there for people at this machine only.
_AT_HOME = {"localhost", "127.0.0.1", "::1"}
AT_HOME = urlsplit(PUBLIC_URL).hostname in _AT_HOME and (environment.read("PARCELLE_BIND") or "127.0.0.1") in _AT_HOME
ALLOWED_HOSTS = environment.listed("PARCELLE_ALLOWED_HOSTS") or [
    urlsplit(PUBLIC_URL).hostname or "localhost",
    "localhost",
    "127.0.0.1",
]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
# How many reverse proxies stand in front: the client's address is read that far from the right of X-Forwarded-For.
TRUSTED_PROXIES = environment.number("PARCELLE_TRUSTED_PROXIES", 0)

# Owns the tables and runs the migrations; the application itself never connects with it.
OWNER_DATABASE_URL = environment.read("PARCELLE_OWNER_DATABASE_URL")
_url = OWNER_DATABASE_URL if environment.flag("PARCELLE_AS_OWNER") else environment.read("DATABASE_URL")
DATABASES = {"default": database(_url or "postgresql:///parcelle")}
# May create databases and roles for instances of the `process` provider; has no right on our own tables.
TENANTS_DATABASE_URL = environment.read("PARCELLE_TENANTS_DATABASE_URL")
WORKER_CONCURRENCY = environment.number("PARCELLE_WORKER_CONCURRENCY", 16)
WORKER_GRACE_SECONDS = environment.number("PARCELLE_WORKER_GRACE", 2)

INSTALLED_APPS = [
    # First, so that its templates win over allauth's and Django's.
    "parcelle.surfaces.portal",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "django_altcha",
    "allauth",
    "allauth.account",
    "procrastinate.contrib.django",
    "parcelle.core",
    "parcelle.domain.accounts",
    "parcelle.domain.tenancy",
    "parcelle.domain.catalog",
    "parcelle.domain.provisioning",
    "parcelle.domain.billing",
    "parcelle.domain.notifications",
    "parcelle.journeys",
    "parcelle.surfaces.api",
    "parcelle.surfaces.backoffice",
    "parcelle.surfaces.edge",
]

MIDDLEWARE = [
    # Answers for the hosts of instances; what is asked of the site itself goes on.
    "parcelle.surfaces.edge.hosts.pages_for_hosts",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    # Inside the language, outside everything that can refuse a request.
    "parcelle.surfaces.api.middleware.problems_for_api",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "parcelle.surfaces.scope.on_behalf",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "parcelle.surfaces.portal.security.content_security",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "parcelle.core.middleware.in_one_thread",
]

ROOT_URLCONF = "parcelle.config.urls"
ASGI_APPLICATION = "parcelle.config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # What an empty list of the back office says is ours; its app cannot stand before unfold's.
        "DIRS": [BASE_DIR / "src/parcelle/surfaces/backoffice/templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/dashboard"
LOGOUT_REDIRECT_URL = "/"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_LOGIN_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXIES

LANGUAGE_CODE = "fr"
LANGUAGES = [("fr", _("French")), ("en", _("English"))]
LOCALE_PATHS = [Path(__file__).resolve().parents[1] / "locale"]
# English dates as they are written in Europe and Africa, everywhere alike; French ones are right in Django.
FORMAT_MODULE_PATH = "parcelle.config.formats"
FORM_RENDERER = "parcelle.surfaces.portal.inputs.Renderer"
LANGUAGE_COOKIE_NAME = "parcelle_language"
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LANGUAGE_COOKIE_SAMESITE = "Lax"
USE_I18N = True
USE_TZ = True
TIME_ZONE = environment.read("PARCELLE_TIME_ZONE") or "Europe/Paris"

STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static"
STATICFILES_DIRS = [
    (f"vendor/{name}", BASE_DIR / "frontend" / "node_modules" / package)
    for name, package in {
        "tabler": "@tabler/core/dist",
        "icons": "@tabler/icons-webfont/dist",
        "inter": "@fontsource-variable/inter",
        "htmx": "htmx.org/dist",
        "htmx-sse": "htmx-ext-sse/dist",
    }.items()
    if (BASE_DIR / "frontend" / "node_modules" / package).is_dir()
]
# Swagger UI, as django-ninja brings it along: without these files the API's page would load from a CDN.
_ninja = find_spec("ninja")
if _ninja and _ninja.origin:
    STATICFILES_DIRS.append(("ninja", Path(_ninja.origin).parent / "static" / "ninja"))
# In the database: limits on attempts to sign in hold for all web processes together. In Django's 300 entries a crowd
# would push each other's out.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "core_cache",
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "parcelle.config.static_files.StaticFiles"},
}

_smtp = mail.server()
EMAIL_BACKEND = environment.read("PARCELLE_EMAIL_BACKEND") or (
    "django.core.mail.backends.smtp.EmailBackend"
    if _smtp
    else "parcelle.domain.notifications.channels.mailbox.MailboxBackend"
)
if _smtp:
    EMAIL_HOST, EMAIL_PORT = _smtp.host, _smtp.port
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _smtp.user, _smtp.password
    EMAIL_USE_TLS, EMAIL_USE_SSL = _smtp.starttls, _smtp.tls
# Seconds; a worker must not hang on a server that says nothing.
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = environment.read("PARCELLE_FROM_EMAIL") or "Parcelle <bonjour@localhost>"
MESSAGE_ID_DOMAIN = urlsplit(PUBLIC_URL).hostname or "localhost"
# The page where every sent mail can be read, passwords and codes included; only for the embedded system and tests.
MAILBOX_PAGE = EMAIL_BACKEND.endswith("MailboxBackend")

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https:")
SESSION_COOKIE_NAME = "parcelle_session"
CSRF_COOKIE_NAME = "parcelle_csrf"
CSRF_FAILURE_VIEW = "parcelle.surfaces.portal.pages.errors.form_expired"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

ALTCHA_HMAC_KEY = SECRET_KEY
# Browsers compute it only where they trust the connection: over plain http that is this machine alone.
TRIAL_PUZZLE = environment.flag(
    "PARCELLE_TRIAL_PUZZLE",
    default=PUBLIC_URL.startswith("https:") or urlsplit(PUBLIC_URL).hostname in _AT_HOME,
)
RATE_LIMITS = environment.flag("PARCELLE_RATE_LIMITS", default=True)

# The supervisord that runs instances of the `process` provider, and the address their programs listen on.
SUPERVISOR_SOCKET = environment.read("PARCELLE_SUPERVISOR_SOCKET")
TENANTS_BIND = environment.read("PARCELLE_TENANTS_BIND") or "127.0.0.1"

# Whether a new installation gets a product to try.
DEMO = environment.flag("PARCELLE_DEMO", default=True)

# How instances get their addresses: a "port" of this machine, or names below APPS_DOMAIN behind "caddy" or "traefik".
_door = edge.front_door()
INGRESS, APPS_DOMAIN, EDGE_TLS = _door.ingress, _door.apps_domain, _door.tls
EDGE_BIND, EDGE_HTTP_PORT, EDGE_HTTPS_PORT = _door.bind, _door.http_port, _door.https_port
# Where the proxy reaches this site.
SITE_ADDRESS = environment.read("PARCELLE_SITE_ADDRESS") or f"127.0.0.1:{environment.number('PARCELLE_PORT', 8000)}"
if INGRESS != "port":
    ALLOWED_HOSTS.append(SITE_ADDRESS.rpartition(":")[0])
# Where we prove that an address answers, "host:port"; "dns" asks the DNS like everybody else.
EDGE_ADDRESS = environment.read("PARCELLE_EDGE_ADDRESS") or f"127.0.0.1:{EDGE_HTTPS_PORT}"
# The public addresses of the proxy, for the records that customers write into their DNS.
EDGE_PUBLIC_ADDRESSES = environment.listed("PARCELLE_EDGE_PUBLIC_ADDRESSES")
ACME_EMAIL = environment.read("PARCELLE_ACME_EMAIL")
ACME_DIRECTORY = environment.read("PARCELLE_ACME_DIRECTORY")
CADDY_ADMIN = environment.read("PARCELLE_CADDY_ADMIN") or f"unix/{HOME}/run/caddy.sock"
CADDY_ACCESS_LOG = environment.read("PARCELLE_CADDY_ACCESS_LOG") or str(HOME / "logs" / "edge.access")
# The certificate of the internal authority, which only our own probes have to trust.
EDGE_CA = Path(environment.read("PARCELLE_EDGE_CA") or HOME / "caddy" / "data" / "pki/authorities/local/root.crt")
# What Traefik shows when it asks for its routes, and a file with the same content for when the site is away.
TRAEFIK_TOKEN = environment.read("PARCELLE_TRAEFIK_TOKEN")
TRAEFIK_FILE = environment.read("PARCELLE_TRAEFIK_FILE")
# Who is asked about customers' domains, "address" or "address:port"; empty: the machine's own and two public ones.
DNS_RESOLVERS = environment.listed("PARCELLE_DNS_RESOLVERS")

BLUEPRINTS_DIR = Path(environment.read("PARCELLE_BLUEPRINTS") or BASE_DIR / "blueprints")
OPERATION_DEADLINE_SECONDS = environment.number("PARCELLE_OPERATION_DEADLINE", 300)
OPERATION_LEASE_SECONDS = environment.number("PARCELLE_OPERATION_LEASE", 15)
# Where the VAT numbers of customers are looked up; empty: nowhere, and nobody is sold to without VAT on a number.
VIES_URL = environment.read("PARCELLE_VIES_URL") or ""
# The shapes of the numbers: a row of X is the counter, which never begins again.
INVOICE_NUMBER = environment.read("PARCELLE_INVOICE_NUMBER") or "FA-YYYY-XXXXXX"
CREDIT_NOTE_NUMBER = environment.read("PARCELLE_CREDIT_NOTE_NUMBER") or "AV-YYYY-XXXXXX"
# A folder from which a certified platform takes the electronic invoices; empty: they are handed to nobody.
INVOICE_DROP = environment.read("PARCELLE_INVOICE_DROP") or ""
_inter = BASE_DIR / "frontend" / "node_modules" / "@fontsource-variable" / "inter" / "files"
DOCUMENT_FONTS = str(_inter) if _inter.is_dir() else ""
# The header in which a proxy tells the visitor's country (ISO 3166 alpha-2), such as CF-IPCountry.
COUNTRY_HEADER = environment.read("PARCELLE_COUNTRY_HEADER") or ""
# Where instances in containers get their networks from; must not overlap with networks of the targets.
SUBNET_POOL = environment.read("PARCELLE_SUBNET_POOL") or "10.201.0.0/16"
FIRST_APPLICATION_PORT = environment.first_port("PARCELLE_FIRST_APPLICATION_PORT", 8080)
FIRST_DATABASE_PORT = environment.first_port("PARCELLE_FIRST_DATABASE_PORT", 5432)
LAST_PORT = environment.LAST_PORT
API_REQUESTS_PER_MINUTE = environment.number("PARCELLE_API_REQUESTS_PER_MINUTE", 600)
API_CREATIONS_PER_MINUTE = environment.number("PARCELLE_API_CREATIONS_PER_MINUTE", 20)
TRIAL_ACTIONS_ADDRESS_LIMIT = environment.number("PARCELLE_TRIALS_PER_HOUR", 10)

UNFOLD = look.UNFOLD

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PROCRASTINATE_ON_APP_READY = None
PROCRASTINATE_WORKER_DEFAULTS = {"task_middleware": [jobs.log_failures], "delete_jobs": "successful"}

LOGGING_CONFIG = None
logs.configure(
    level=environment.read("PARCELLE_LOG_LEVEL") or "INFO",
    style=environment.read("PARCELLE_LOG_FORMAT"),
    file=environment.read("PARCELLE_LOG_FILE"),
)
