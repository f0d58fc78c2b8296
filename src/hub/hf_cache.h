// HfCache: the folder of huggingface_hub: models--ORG--REPO/{blobs,snapshots/COMMIT,refs}. Read and
// written so that its own tools see no difference. Internal to hub. Thread: any.
// Source: huggingface_hub's guide "Understand caching".
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/download.h"
#include "hub/gguf_choice.h"
#include "hub/name.h"

namespace pippin::hub {

/// One state of a repository that is here, in part or whole.
struct Snapshot {
  std::string repo;
  std::string commit;
  std::vector<std::string> refs;   // branches and tags that mean it
  std::vector<std::string> files;  // paths of GGUF files whose bytes are here, sorted
};

class HfCache {
 public:
  explicit HfCache(std::filesystem::path root) : root_(std::move(root)) {}

  std::filesystem::path repo_folder(std::string_view repo) const;
  std::filesystem::path snapshot_folder(std::string_view repo, std::string_view commit) const;
  /// Where a blob goes, with the lock that huggingface_hub takes for it.
  Destination blob(std::string_view repo, std::string_view etag) const;

  /// Returns all snapshots, by repository; those that a ref means come first.
  std::vector<Snapshot> snapshots() const;
  /// Returns the snapshot that a revision means. Errors: kNotFound.
  Result<Snapshot> find(const HfName& name) const;

  /// Gives a blob its name in a snapshot.
  Result<void> link(std::string_view repo, std::string_view commit, std::string_view path,
                    std::string_view etag) const;
  /// Notes which commit a branch or a tag is; a commit needs no note.
  Result<void> note_ref(std::string_view repo, const std::string& revision,
                        std::string_view commit) const;
  /// Writes CACHEDIR.TAG, by which backups pass over the folder, unless it is there.
  void tag() const;

  /// Removes files of a snapshot, the blobs that no snapshot needs any more, and folders that are
  /// empty then. Returns the bytes freed. Errors: kUnavailable while a blob is locked;
  /// kPermissionDenied.
  Result<uint64_t> remove(const Snapshot& snapshot, const std::vector<std::string>& files) const;

 private:
  Snapshot read_snapshot(const std::string& repo, const std::string& commit) const;
  std::vector<Snapshot> snapshots_of(const std::string& repo) const;
  std::set<std::filesystem::path> blobs_of_others(const Snapshot& snapshot,
                                                  const std::vector<std::string>& files) const;
  void remove_rest(const std::string& repo) const;

  std::filesystem::path root_;
};

}  // namespace pippin::hub
