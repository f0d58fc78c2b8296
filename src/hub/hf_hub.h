// The Hugging Face hub's HTTP interface: what a repository holds and where its files are. Internal
// to hub. Thread: any.
// Source: the hub's API, GET /api/models/REPO/revision/REVISION?blobs=true and
// GET /REPO/resolve/REVISION/FILE.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/download.h"
#include "hub/name.h"
#include "hub/paths.h"
#include "hub/session.h"

namespace pippin::hub {

/// A file of a repository, as the hub lists it.
struct RepoFile {
  std::string path;  // safe
  uint64_t bytes = 0;
  HashKind kind = HashKind::kNone;
  std::string etag;  // what its blob is called: the hash, where the hub says it; empty: ask_file()
};

struct Repo {
  std::string commit;  // 40 hexadecimal digits
  std::vector<RepoFile> files;

  const RepoFile* find(std::string_view path) const;
};

/// Reads the answer about a repository. Files without a safe path are left out. Errors:
/// kInvalidFile.
Result<Repo> parse_repo(std::string_view json);

/// Asks what a repository holds. Errors: of pull().
Result<Repo> ask_repo(Session& session, const Paths& paths, const HfName& name);

/// Completes what the listing did not say of a file: its size and its hash, which mirrors may leave
/// out. Errors: of pull().
Result<void> ask_file(Session& session, const Paths& paths, const HfName& name, const Repo& repo,
                      RepoFile& file);

/// Returns where to fetch a file from.
Remote remote_of(const Paths& paths, const HfName& name, const Repo& repo, const RepoFile& file);

/// Returns what a refusal means for the person who asked, and what to do.
Error hf_refusal(const Paths& paths, const HfName& name, const HttpResponse& answer);

}  // namespace pippin::hub
