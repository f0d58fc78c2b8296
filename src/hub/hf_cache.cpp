#include "hub/hf_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "hub/files.h"

namespace pippin::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFolderPrefix = "models--";
constexpr int kDepthMax = 16;
constexpr size_t kEntriesMax = 100'000;

/// Returns "org/repo" of "models--org--repo", or an empty text.
std::string repo_of(std::string_view folder) {
  if (!folder.starts_with(kFolderPrefix)) return {};
  std::string repo(folder.substr(kFolderPrefix.size()));
  const size_t dashes = repo.find("--");
  if (dashes == std::string::npos) return {};
  repo.replace(dashes, 2, "/");
  return parse_hf_name(repo).ok() ? repo : std::string();
}

/// Calls `visit` with the path, relative to `folder`, of each file below it.
void each_file(const fs::path& folder, const std::function<void(const std::string&)>& visit) {
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied,
                                         error);
  size_t count = 0;
  for (const fs::recursive_directory_iterator end; !error && entry != end && count < kEntriesMax;
       entry.increment(error), ++count) {
    if (entry.depth() >= kDepthMax) entry.disable_recursion_pending();
    std::error_code ignored;
    if (entry->is_symlink(ignored) || !entry->is_directory(ignored))
      visit(entry->path().lexically_relative(folder).generic_string());
  }
}

std::vector<std::string> folders_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_directory(ignored)) names.push_back(entry->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

/// Where a symbolic link leads, made absolute; empty for what is none.
fs::path link_target(const fs::path& link) {
  std::error_code error;
  const fs::path target = fs::read_symlink(link, error);
  return error ? fs::path() : (link.parent_path() / target).lexically_normal();
}

/// Removes folders from `folder` upwards while they are empty, `top` not.
void remove_empty(fs::path folder, const fs::path& top) {
  std::error_code error;
  while (folder != top && fs::remove(folder, error)) folder = folder.parent_path();
}

}  // namespace

fs::path HfCache::repo_folder(std::string_view repo) const {
  std::string name = fmt::format("{}{}", kFolderPrefix, repo);
  name.replace(name.find('/'), 1, "--");
  return root_ / name;
}

fs::path HfCache::snapshot_folder(std::string_view repo, std::string_view commit) const {
  return repo_folder(repo) / "snapshots" / commit;
}

Destination HfCache::blob(std::string_view repo, std::string_view etag) const {
  const fs::path folder = repo_folder(repo);
  return {folder / "blobs" / etag,
          root_ / ".locks" / folder.filename() / (std::string(etag) + ".lock")};
}

Snapshot HfCache::read_snapshot(const std::string& repo, const std::string& commit) const {
  Snapshot snapshot{repo, commit, {}, {}};
  const fs::path folder = snapshot_folder(repo, commit);
  each_file(folder, [&](const std::string& path) {
    // A link without its blob is a file that was removed or never came.
    if (path.ends_with(".gguf") && is_safe_path(path) && is_regular(folder / path))
      snapshot.files.push_back(path);
  });
  std::ranges::sort(snapshot.files);
  return snapshot;
}

std::vector<Snapshot> HfCache::snapshots_of(const std::string& repo) const {
  const fs::path folder = repo_folder(repo);
  std::map<std::string, std::vector<std::string>> refs;
  each_file(folder / "refs", [&](const std::string& ref) {
    const Result<std::string> commit = read_file(folder / "refs" / ref, 256);
    if (commit.ok()) refs[*commit].push_back(ref);
  });
  std::vector<Snapshot> snapshots;
  for (const std::string& commit : folders_in(folder / "snapshots")) {
    Snapshot snapshot = read_snapshot(repo, commit);
    if (const auto known = refs.find(commit); known != refs.end()) snapshot.refs = known->second;
    snapshots.push_back(std::move(snapshot));
  }
  std::ranges::stable_sort(snapshots, {}, [](const Snapshot& s) { return s.refs.empty(); });
  return snapshots;
}

std::vector<Snapshot> HfCache::snapshots() const {
  std::vector<Snapshot> all;
  for (const std::string& name : folders_in(root_)) {
    const std::string repo = repo_of(name);
    if (repo.empty()) continue;
    for (Snapshot& snapshot : snapshots_of(repo)) all.push_back(std::move(snapshot));
  }
  return all;
}

Result<Snapshot> HfCache::find(const HfName& name) const {
  std::string commit = name.revision;
  if (!is_hex(commit, 40)) {
    const Result<std::string> noted =
        read_file(repo_folder(name.repo) / "refs" / name.revision, 256);
    if (noted.ok()) commit = *noted;
  }
  std::error_code ignored;
  if (is_hex(commit, 40) && fs::is_directory(snapshot_folder(name.repo, commit), ignored))
    return read_snapshot(name.repo, commit);
  return fail(Code::kNotFound, fmt::format("[hub] {} is not on this machine", name.text()),
              name.text());
}

Result<void> HfCache::link(std::string_view repo, std::string_view commit, std::string_view path,
                           std::string_view etag) const {
  const fs::path place = snapshot_folder(repo, commit) / path;
  fs::path target = "../..";
  for (const char c : path)
    if (c == '/') target /= "..";
  target /= fs::path("blobs") / etag;
  std::error_code error;
  if (fs::read_symlink(place, error) == target) return {};
  return write_link(place, target);
}

Result<void> HfCache::note_ref(std::string_view repo, const std::string& revision,
                               std::string_view commit) const {
  if (revision == commit) return {};
  const fs::path file = repo_folder(repo) / "refs" / revision;
  const Result<std::string> noted = read_file(file, 256);
  if (noted.ok() && *noted == commit) return {};
  return write_file(file, commit);
}

void HfCache::tag() const {
  const fs::path file = root_ / "CACHEDIR.TAG";
  if (!is_regular(file))
    (void)write_file(file, "Signature: 8a477f597d28d172789f06886806bc55\n");  // the standard's own
}

std::set<fs::path> HfCache::blobs_of_others(const Snapshot& snapshot,
                                            const std::vector<std::string>& files) const {
  std::set<fs::path> blobs;
  for (const std::string& commit : folders_in(repo_folder(snapshot.repo) / "snapshots")) {
    const fs::path folder = snapshot_folder(snapshot.repo, commit);
    each_file(folder, [&](const std::string& path) {
      const bool goes = commit == snapshot.commit && std::ranges::find(files, path) != files.end();
      if (!goes) blobs.insert(link_target(folder / path));
    });
  }
  return blobs;
}

Result<uint64_t> HfCache::remove(const Snapshot& snapshot,
                                 const std::vector<std::string>& files) const {
  const fs::path folder = repo_folder(snapshot.repo);
  const std::set<fs::path> needed = blobs_of_others(snapshot, files);
  uint64_t freed = 0;
  for (const std::string& path : files) {
    const fs::path place = snapshot_folder(snapshot.repo, snapshot.commit) / path;
    const fs::path target = link_target(place);
    // A link may lead to a store that several caches share; what is there is not ours to remove.
    const bool is_blob = target.parent_path() == folder / "blobs";
    std::optional<FileLock> lock;
    if (is_blob) {
      const Destination destination = blob(snapshot.repo, target.filename().string());
      ASSIGN_OR_RETURN(FileLock taken, FileLock::try_take(destination.lock));
      lock.emplace(std::move(taken));
    }
    const bool frees = target.empty() || (is_blob && !needed.contains(target));
    const uint64_t bytes = bytes_of(place);
    std::error_code error;
    if (!fs::remove(place, error) && error) return file_error(error.value(), "remove", place);
    if (frees && (target.empty() || fs::remove(target, error))) freed += bytes;
    remove_empty(place.parent_path(), folder);
  }
  remove_rest(snapshot.repo);
  return freed;
}

/// Removes refs to snapshots that are gone, and a repository's folder that holds nothing any more.
void HfCache::remove_rest(const std::string& repo) const {
  const fs::path folder = repo_folder(repo);
  std::vector<fs::path> stale;
  each_file(folder / "refs", [&](const std::string& ref) {
    const Result<std::string> commit = read_file(folder / "refs" / ref, 256);
    std::error_code error;
    if (commit.ok() && is_hex(*commit, 40) && !fs::exists(snapshot_folder(repo, *commit), error))
      stale.push_back(folder / "refs" / ref);
  });
  std::error_code error;
  for (const fs::path& ref : stale) {
    fs::remove(ref, error);
    remove_empty(ref.parent_path(), folder);
  }
  for (const char* part : {"snapshots", "refs", "blobs"}) fs::remove(folder / part, error);
  fs::remove(folder, error);
}

}  // namespace pippin::hub
