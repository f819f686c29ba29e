"""The only settings module. What an operator sets comes from the environment: templates/docs/settings.md."""

from __future__ import annotations

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF

from portal import crypto, env, storages

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("PORTICO_DATA_DIR", "data")).absolute()
DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
if DATA_DIR.stat().st_mode & 0o077:
    DATA_DIR.chmod(0o700)

DEBUG = False
SECRET_KEY = env.secret("PORTICO_SECRET_KEY") or crypto.generated(
    DATA_DIR, "secret_key", secrets.token_urlsafe(48)
)
ENCRYPTION_KEYS = crypto.Keyring.parse(
    env.secret("PORTICO_ENCRYPTION_KEYS")
    or crypto.generated(DATA_DIR, "encryption_keys", crypto.new_encryption_keys())
)
PORTICO_MASTER_KEY = env.secret("PORTICO_MASTER_KEY")

ALLOWED_HOSTS = env.items("PORTICO_ALLOWED_HOSTS") or ["localhost", "127.0.0.1", "[::1]"]
TRUSTED_PROXIES = env.items("PORTICO_TRUSTED_PROXIES")
CSRF_TRUSTED_ORIGINS = env.items("PORTICO_TRUSTED_ORIGINS")
PUBLIC_URL = env.text("PORTICO_PUBLIC_URL")
SECURE_COOKIES = env.flag("PORTICO_SECURE_COOKIES", default=PUBLIC_URL.startswith("https://"))

MAX_UPLOAD_BYTES = env.integer("PORTICO_MAX_UPLOAD_BYTES", 8 * 2**30, minimum=1)
MAX_PART_BYTES = 64 * 2**20
"""OpenAI's limit of one part of an upload."""
MAX_BODY_BYTES = env.integer("PORTICO_MAX_BODY_BYTES", 128 * 2**20, minimum=1024)
METRICS_NEED_KEY = env.flag("PORTICO_METRICS_NEED_KEY")
FETCH_ALLOW = env.text("PORTICO_FETCH_ALLOW")
GS_ALLOW = frozenset(env.items("PORTICO_GS_ALLOW"))
"""Buckets whose objects callers may name as gs:// addresses; * is every bucket Google lets us read."""
LOG_LEVEL = env.choice("PORTICO_LOG_LEVEL", {"DEBUG", "INFO", "WARNING", "ERROR"}, "INFO")
REFRESH_SECONDS = 0.4
"""How often every worker looks for changed keys and models; a change holds everywhere within a second."""
FILE_SCANNER = env.text("PORTICO_SCANNER")
"""`clamav`, or the dotted path of a function like files.clamav.scan; empty: files are not scanned."""
CLAMAV_ADDRESS = env.text("PORTICO_CLAMAV_ADDRESS", "127.0.0.1:3310")
"""host:port, or the path of clamd's socket."""
DENIED_MEDIA_TYPES = env.items("PORTICO_DENIED_MEDIA_TYPES")
DENIED_FILE_ENDINGS = env.items("PORTICO_DENIED_FILE_ENDINGS")
SCRUB_DAYS = env.integer("PORTICO_SCRUB_DAYS", 30, minimum=0)
"""Within so many days the bytes of every file are read once and compared with their hash; 0 reads none."""
FILE_READY_SECONDS = env.integer("PORTICO_FILE_READY_SECONDS", 60, minimum=0)
"""How long a chat waits for the copy of a file before it answers 409 file_not_ready."""

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "servestatic.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "lucide",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "providers",
    "files",
    "portal",
]
AUTH_USER_MODEL = "portal.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "portal.urls"
ASGI_APPLICATION = "portal.asgi.application"

# Only the dashboard's handler runs these; API requests take the lean handler (portal/asgi.py).
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "portal.dashboard.compressing.CompressedPages",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.dashboard.context.page",
            ],
            "libraries": {"portico": "portal.dashboard.tags"},
        },
    },
]

DATABASES: dict[str, Any] = {
    "default": dj_database_url.parse(
        env.secret("DATABASE_URL") or f"sqlite:///{DATA_DIR / 'portico.sqlite3'}", conn_health_checks=True
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["CONN_MAX_AGE"] = None
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000;",
    }
else:
    DATABASES["default"]["OPTIONS"] = {"pool": {"min_size": 1, "max_size": 8, "timeout": 10}}

REDIS_URL = env.secret("REDIS_URL")
LIMITS_WITHOUT_REDIS = env.choice("PORTICO_LIMITS_WITHOUT_REDIS", {"local", "refuse"}, "local")
"""When Redis does not answer: count in each process, or answer 503."""
CACHES: dict[str, Any] = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {
        # Failed sign-ins and used codes count in all processes, so memory will not do.
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "portal_cache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}

SIGNED_URL_DELIVERY = env.flag("PORTICO_SIGNED_URL_DELIVERY")
"""May providers fetch large files from the storage at signed addresses, rather than be sent them?"""
DEFAULT_FILE_STORAGE_ALIAS = env.choice("PORTICO_STORAGE", {"local", "azure_storage", "s3", "gcs"}, "local")
STORAGES: dict[str, Any] = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": DATA_DIR / "files"},
    },
    "local": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": DATA_DIR / "files"},
    },
    "staticfiles": {"BACKEND": "portal.statics.HashedFiles"},
    **storages.from_environment(),
}

CELERY_BROKER_URL = env.secret("CELERY_BROKER_URL") or "filesystem://localhost"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
if CELERY_BROKER_URL.startswith("filesystem:"):
    _broker = DATA_DIR / "broker"
    for _folder in ("messages", "control"):
        (_broker / _folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        "data_folder_in": str(_broker / "messages"),
        "data_folder_out": str(_broker / "messages"),
        "control_folder": str(_broker / "control"),
    }
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE: dict[str, Any] = {
    "work-through-copies": {
        "task": "files.tasks.sweep_copies",
        "schedule": timedelta(seconds=5),
        "options": {"expires": 5},
    },
    "remove-expired-files": {
        "task": "files.tasks.sweep_expired",
        "schedule": timedelta(seconds=60),
        "options": {"expires": 60},
    },
    "compare-stored-bytes": {
        "task": "files.tasks.scrub",
        "schedule": timedelta(minutes=10),
        "options": {"expires": 600},
    },
    "look-around": {
        "task": "portal.tasks.look_around",
        "schedule": timedelta(seconds=30),
        "options": {"expires": 30},
    },
    "clear-away": {
        "task": "portal.tasks.clear_away",
        "schedule": timedelta(minutes=15),
        "options": {"expires": 900},
    },
}

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
SESSION_ENGINE = "portal.services.sessions"
SESSION_COOKIE_NAME = "portico_session"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = SECURE_COOKIES
CSRF_COOKIE_NAME = "portico_csrf"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = SECURE_COOKIES
CSRF_COOKIE_HTTPONLY = False
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# django-allauth: second steps, passkeys and the identity provider. People never sign themselves up, and
# e-mail is ours (portal.services.mailed_links), so its own tables of addresses stay empty.
ACCOUNT_ADAPTER = "portal.dashboard.allauth_hooks.AccountHooks"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_RATE_LIMITS = {"reset_password": "20/m/ip,5/h/key"}
MFA_ADAPTER = "portal.dashboard.allauth_hooks.FactorHooks"
MFA_FORMS = {
    "authenticate": "portal.dashboard.step_forms.CodeForm",
    "reauthenticate": "portal.dashboard.step_forms.ConfirmByCodeForm",
    "activate_totp": "portal.dashboard.step_forms.NewAppForm",
    "add_webauthn": "portal.dashboard.step_forms.NewPasskeyForm",
    "edit_webauthn": "portal.dashboard.step_forms.PasskeyNameForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_ISSUER = "Portico"
SOCIALACCOUNT_ADAPTER = "portal.dashboard.allauth_hooks.SocialHooks"
SOCIALACCOUNT_EMAIL_REQUIRED = False
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_REAUTHENTICATION_REQUIRED = True
SOCIALACCOUNT_REQUESTS_TIMEOUT = 5
OIDC: dict[str, Any] = {
    "issuer": env.text("PORTICO_OIDC_ISSUER"),
    "client_id": env.text("PORTICO_OIDC_CLIENT_ID"),
    "client_secret": env.secret("PORTICO_OIDC_CLIENT_SECRET") or "",
    "name": env.text("PORTICO_OIDC_NAME", "single sign-on"),
    "allowed_domains": [domain.lower() for domain in env.items("PORTICO_OIDC_ALLOWED_DOMAINS")],
    "team": env.text("PORTICO_OIDC_TEAM"),
}

X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "media-src": [SELF, "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "manifest-src": [SELF],
    },
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.text("PORTICO_STATIC_DIR") or DATA_DIR / "static").absolute()
SERVESTATIC_USE_MANIFEST = True
SERVESTATIC_KEEP_ONLY_HASHED_FILES = False
APPEND_SLASH = True

REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Portico",
    "DESCRIPTION": "OpenAI-compatible gateway with managed files.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "PREPROCESSING_HOOKS": ["portal.api.docs.one_address_each"],
}

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "filters": {"broken_on_purpose": {"()": "portal.logs.BrokenOnPurpose"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "azure": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        "uvicorn": {"level": "WARNING"},
        "uvicorn.error": {"filters": ["broken_on_purpose"]},
    },
}
