"""The same done to several files of the list: asked for first, then told file by file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRedirect

from files.ids import is_file_id
from files.models import ManagedFile
from portal.dashboard import file_ends
from portal.dashboard.visitor import actor_of, caller_of, is_htmx, may, page
from portal.services import files
from providers.errors import Forbidden, PorticoError

MOST = 200
SHOWN = 10
LONGEST_QUERY = 1000
Act = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Job:
    """What can be done to several files: `right` for each of them, the words that pages use."""

    right: str
    title: str
    question: str
    done: str
    label: str
    tone: str = "main"


JOBS = {
    "delete": Job(
        "files.delete",
        "Delete files",
        "They and their copies at every provider are removed. This cannot be undone.",
        "deleted",
        "Delete",
        "danger",
    ),
    "extend": Job(
        "files.delete",
        "Change when files end",
        "Files whose team's rules end them earlier stay as they are.",
        "changed",
        "Change",
    ),
    "send": Job(
        "files.create",
        "Send files again",
        "Copies that failed or ended are made anew.",
        "sent again",
        "Send again",
    ),
}


@dataclass(frozen=True, slots=True)
class Result:
    """How it went with one file; `file` is None where there is none that the person sees."""

    file_id: str
    file: ManagedFile | None
    problem: str


@require_POST
@page("files.read")
def show(request: HttpRequest) -> HttpResponse:
    """Asks first, naming how many; with `confirmed` it acts."""
    name = request.POST.get("job", "")
    asked = [pk for pk in dict.fromkeys(request.POST.getlist("id")) if is_file_id(pk)]
    if name not in JOBS or not asked:
        return _nothing(request, "Choose files first.")
    if len(asked) > MOST:
        return _nothing(request, f"At most {MOST} files at a time.")
    found = {
        file.pk: file for file in ManagedFile.objects.visible_to(caller_of(request)).filter(pk__in=asked)
    }
    if request.POST.get("confirmed"):
        return _act(request, name, asked, found)
    context = {
        "job": JOBS[name],
        "name": name,
        "files": list(found.values()),
        "shown": list(found.values())[:SHOWN],
        "more": max(0, len(found) - SHOWN),
        "query": request.POST.get("query", ""),
        "ends": file_ends.CHOICES,
        "first": file_ends.FIRST,
    }
    if not found:
        return _nothing(request, "These files are gone.")
    part = "bulk_form" if is_htmx(request) else "bulk"
    return render(request, f"dashboard/files/{part}.html", context)


def _act(request: HttpRequest, name: str, asked: list[str], found: dict[str, ManagedFile]) -> HttpResponse:
    job, act = JOBS[name], _act_of(request, name)
    results = [Result(pk, found.get(pk), _try(request, job, act, found.get(pk))) for pk in asked]
    failed = [result for result in results if result.problem]
    if not failed:
        messages.success(request, f"{_files(len(results))} {job.done}.")
        return _to_list(request)
    context = {"job": job, "failed": failed, "done": len(results) - len(failed)}
    return render(request, "dashboard/files/bulk_results.html", context)


def _act_of(request: HttpRequest, name: str) -> Act:
    actor, caller = actor_of(request), caller_of(request)
    match name:
        case "delete":
            return lambda pk: files.delete_file(actor=actor, caller=caller, file_id=pk)
        case "extend":
            ends_at = file_ends.end_for(request.POST.get("ends", ""), timezone.now())
            return lambda pk: files.change_end(actor=actor, caller=caller, file_id=pk, ends_at=ends_at)
        case _:
            return lambda pk: files.send_again(actor=actor, caller=caller, file_id=pk)


def _try(request: HttpRequest, job: Job, act: Act, file: ManagedFile | None) -> str:
    """The problem with this file, empty when it went well: the others go on."""
    if file is None:
        return "There is no such file."
    try:
        if not may(request, job.right, file):
            raise Forbidden("Your role in this team does not allow that.")
        act(file.pk)
    except PorticoError as error:
        return error.message
    return ""


def _nothing(request: HttpRequest, text: str) -> HttpResponse:
    messages.error(request, text)
    return _to_list(request)


def _to_list(request: HttpRequest) -> HttpResponse:
    """Back to the list as it was narrowed."""
    query = QueryDict(request.POST.get("query", "")[:LONGEST_QUERY]).urlencode()
    address = f"{reverse('files')}?{query}" if query else reverse("files")
    return HttpResponseClientRedirect(address) if is_htmx(request) else redirect(address)


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
