"""Addresses of signing in and of one's own account, under the names that django-allauth asks for."""

from __future__ import annotations

from allauth.account import views as steps
from allauth.mfa.base import views as codes
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as authenticator
from allauth.mfa.webauthn import views as passkeys
from allauth.socialaccount import views as social
from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, path
from django.views.generic.base import RedirectView

from portal.dashboard import account, mailed, sign_in, single_sign_on

to_account = RedirectView.as_view(pattern_name="account")

urlpatterns: list[URLPattern] = [
    path("setup/<str:token>/", sign_in.set_up, name="setup"),
    path("join/<str:token>/", sign_in.join, name="join"),
    path("login/", sign_in.SignIn.as_view(), name="login"),
    path("login/", sign_in.SignIn.as_view(), name="account_login"),
    path("login/forgot/", mailed.forgot, name="forgot-password"),
    path("login/reset/<str:token>/", mailed.reset, name="reset-password"),
    path("login/code/", codes.authenticate, name="mfa_authenticate"),
    path("login/passkey/", passkeys.login_webauthn, name="mfa_login_webauthn"),
    path("login/inactive/", steps.account_inactive, name="account_inactive"),
    path("login/oidc/", single_sign_on.start, name="oidc"),
    path("login/oidc/callback/", single_sign_on.callback, name="oidc-callback"),
    path("login/oidc/cancelled/", social.login_cancelled, name="socialaccount_login_cancelled"),
    path("logout/", LogoutView.as_view(next_page="login"), name="logout"),
    path("logout/", LogoutView.as_view(next_page="login"), name="account_logout"),
    path("account/", account.show, name="account"),
    path("account/password/", account.change_password, name="change-password"),
    path("account/email/", mailed.change_address, name="change-address"),
    path("account/email/<str:token>/", mailed.confirm_address, name="confirm-address"),
    path("account/confirm/", steps.reauthenticate, name="account_reauthenticate"),
    path("account/confirm/code/", codes.reauthenticate, name="mfa_reauthenticate"),
    path("account/confirm/passkey/", passkeys.reauthenticate_webauthn, name="mfa_reauthenticate_webauthn"),
    path("account/authenticator/", authenticator.activate_totp, name="mfa_activate_totp"),
    path("account/authenticator/remove/", authenticator.deactivate_totp, name="mfa_deactivate_totp"),
    path("account/recovery-codes/", recovery.view_recovery_codes, name="mfa_view_recovery_codes"),
    path("account/recovery-codes/new/", recovery.generate_recovery_codes, name="mfa_generate_recovery_codes"),
    path("account/passkeys/add/", passkeys.add_webauthn, name="mfa_add_webauthn"),
    path("account/passkeys/<int:pk>/", passkeys.edit_webauthn, name="mfa_edit_webauthn"),
    path("account/passkeys/<int:pk>/remove/", passkeys.remove_webauthn, name="mfa_remove_webauthn"),
    path("account/steps/", to_account, name="mfa_index"),
    path("account/passkeys/", to_account, name="mfa_list_webauthn"),
    path("account/connections/", to_account, name="socialaccount_connections"),
    path("account/connect/", single_sign_on.connect, name="oidc-connect"),
    path("account/connections/<int:pk>/remove/", account.disconnect, name="oidc-disconnect"),
    path("account/sessions/end/", account.end_other_sessions, name="end-other-sessions"),
    path("account/sessions/<str:pk>/end/", account.end_session, name="end-session"),
]
