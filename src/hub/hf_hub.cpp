#include "hub/hf_hub.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <charconv>

#include "base/json_read.h"

namespace pippin::hub {
namespace {

namespace json = boost::json;

constexpr size_t kFilesMax = 200'000;
constexpr uint64_t kFileBytesMax = 1ULL << 50;

/// What a blob is called is a name of a file here.
bool is_etag(std::string_view text) {
  constexpr size_t kBytesMax = 128;
  return !text.empty() && text.size() <= kBytesMax && text.front() != '.' &&
         std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '-' || c == '_' || c == '.';
         });
}

HashKind kind_of(std::string_view etag) {
  if (is_hex(etag, 64)) return HashKind::kSha256;
  return is_hex(etag, 40) ? HashKind::kGitSha1 : HashKind::kNone;
}

RepoFile read_sibling(const json::object& object) {
  RepoFile file;
  file.path = string_in(object, "rfilename");
  file.bytes = size_in(object, "size").value_or(0);
  file.etag = string_in(object, "blobId");
  if (const json::object* lfs = object_in(object, "lfs")) {
    file.etag = string_in(*lfs, "sha256");
    file.bytes = size_in(*lfs, "size").value_or(file.bytes);
  }
  file.kind = kind_of(file.etag);
  if (file.kind == HashKind::kNone) file.etag.clear();
  return file;
}

std::string address_of(const Paths& paths, const HfName& name, const Repo& repo,
                       const RepoFile& file) {
  return fmt::format("{}/{}/resolve/{}/{}", paths.hf_endpoint, name.repo, repo.commit,
                     escape_path(file.path));
}

/// An ETag without its quotes and its mark of weakness.
std::string_view bare(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"')
    etag = etag.substr(1, etag.size() - 2);
  return etag;
}

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size() || value > kFileBytesMax)
    return std::nullopt;
  return value;
}

}  // namespace

const RepoFile* Repo::find(std::string_view path) const {
  const auto place = std::ranges::find(files, path, &RepoFile::path);
  return place == files.end() ? nullptr : &*place;
}

Result<Repo> parse_repo(std::string_view text) {
  ASSIGN_OR_RETURN(const json::object object, parse_object(text, "[hub] the hub's answer"));
  Repo repo;
  repo.commit = string_in(object, "sha");
  if (!is_hex(repo.commit, 40))
    return fail(Code::kInvalidFile, "[hub] the hub's answer: expected a commit of 40 digits");
  const json::array* siblings = array_in(object, "siblings");
  if (siblings == nullptr || siblings->size() > kFilesMax)
    return fail(Code::kInvalidFile, "[hub] the hub's answer: expected a list of files");
  for (const json::value& value : *siblings) {
    if (!value.is_object()) continue;
    RepoFile file = read_sibling(value.get_object());
    if (is_safe_path(file.path) && file.bytes <= kFileBytesMax)
      repo.files.push_back(std::move(file));
  }
  return repo;
}

Result<Repo> ask_repo(Session& session, const Paths& paths, const HfName& name) {
  HttpRequest request;
  std::string revision = escape_path(name.revision);
  // A branch like "refs/pr/1" is one segment of the address.
  for (size_t at = 0; (at = revision.find('/', at)) != std::string::npos;)
    revision.replace(at, 1, "%2F");
  request.url = fmt::format("{}/api/models/{}/revision/{}?blobs=true", paths.hf_endpoint, name.repo,
                            revision);
  request.bearer = paths.hf_token;
  ASSIGN_OR_RETURN(const HttpResponse answer, ask(session, request));
  if (!answer.ok()) return hf_refusal(paths, name, answer);
  return parse_repo(answer.body);
}

Result<void> ask_file(Session& session, const Paths& paths, const HfName& name, const Repo& repo,
                      RepoFile& file) {
  if (!file.etag.empty() && file.bytes > 0) return {};
  HttpClient client(session.http());
  HttpRequest request;
  request.url = address_of(paths, name, repo, file);
  request.bearer = paths.hf_token;
  request.head = true;
  // The answer that redirects to storage is the one that tells; storage has ETags of its own.
  ASSIGN_OR_RETURN(const HttpResponse answer, client.send(request));
  if (!answer.ok() && !answer.is_redirect()) return hf_refusal(paths, name, answer);
  const auto header = [&](std::string_view linked, std::string_view own) {
    return answer.header(linked).empty() ? answer.header(own) : answer.header(linked);
  };
  const std::string_view etag = bare(header("x-linked-etag", "etag"));
  const std::optional<uint64_t> bytes = number(header("x-linked-size", "content-length"));
  if (!is_etag(etag) || !bytes)
    return fail(
        Code::kInvalidFile,
        fmt::format("[hub] {}: the server tells neither size nor hash of {}", name.repo, file.path),
        file.path);
  file.etag = etag;
  file.kind = kind_of(etag);
  file.bytes = *bytes;
  return {};
}

Remote remote_of(const Paths& paths, const HfName& name, const Repo& repo, const RepoFile& file) {
  Remote remote;
  remote.item = file.path;
  remote.url = address_of(paths, name, repo, file);
  remote.bearer = paths.hf_token;
  remote.bytes = file.bytes;
  remote.kind = file.kind;
  if (file.kind != HashKind::kNone) remote.hex = file.etag;
  remote.refusal = [&paths, name](const HttpResponse& answer) {
    return hf_refusal(paths, name, answer);
  };
  return remote;
}

Error hf_refusal(const Paths& paths, const HfName& name, const HttpResponse& answer) {
  const std::string_view code = answer.header("x-error-code");
  const std::string& server = paths.hf_endpoint;
  const bool has_token = !paths.hf_token.empty();
  const std::string sign_in = fmt::format(
      "set HF_TOKEN to a token of {}/settings/tokens, or sign in with `hf auth login`", server);
  if (code == "GatedRepo") {
    const std::string terms = fmt::format("accept its terms at {}/{}", server, name.repo);
    return fail(has_token ? Code::kPermissionDenied : Code::kUnauthenticated,
                fmt::format("[hub] {} is gated: {}{}", name.repo, terms,
                            has_token ? "; the token that was sent has no access yet"
                                      : ", then " + sign_in),
                name.repo);
  }
  if (code == "RevisionNotFound")
    return fail(Code::kNotFound,
                fmt::format("[hub] {} has no revision '{}'", name.repo, name.revision), name.repo);
  if (answer.status == 401 || code == "RepoNotFound" || answer.status == 404)
    return fail(
        answer.status == 401 && code != "RepoNotFound" ? Code::kUnauthenticated : Code::kNotFound,
        fmt::format("[hub] {} has no {}, or it is private: check the name{}", server, name.repo,
                    has_token ? " and whose token HF_TOKEN is" : "; if it is, " + sign_in),
        name.repo);
  if (answer.status == 403)
    return fail(Code::kPermissionDenied,
                fmt::format("[hub] {} may not be read{}: {}", name.repo,
                            has_token ? " with this token" : "; " + sign_in, status_text(answer)),
                name.repo);
  return fail(answer.status == 429 ? Code::kOverloaded : Code::kUnavailable,
              fmt::format("[hub] {}: {}", name.repo, status_text(answer)), name.repo);
}

}  // namespace pippin::hub
