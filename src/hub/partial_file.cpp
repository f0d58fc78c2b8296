#include "hub/partial_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

namespace pippin::hub {

Result<PartialFile> PartialFile::open(Session& session, const Remote& remote,
                                      const Destination& destination) {
  const std::filesystem::path path = destination.partial();
  RETURN_IF_ERROR(make_folders(path.parent_path()));
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644));
  if (fd.get() < 0) return file_error(errno, "write", path);
  struct stat status = {};
  if (fstat(fd.get(), &status) != 0) return file_error(errno, "look at", path);
  if (!S_ISREG(status.st_mode))
    return fail(Code::kInvalidFile, fmt::format("[hub] {} is no regular file", path.string()));
  PartialFile file(std::move(fd), remote, destination);
  file.resumed_ = static_cast<uint64_t>(status.st_size);
  if (file.resumed_ > remote.bytes) {
    RETURN_IF_ERROR(file.restart());
  } else {
    RETURN_IF_ERROR(file.hash_what_is_there(session));
  }
  return file;
}

Result<void> PartialFile::hash_what_is_there(Session& session) {
  std::vector<char> buffer(1 << 20);
  while (written_ < resumed_) {
    if (session.cancel().requested()) return fail(Code::kCancelled, "[hub] cancelled");
    const ssize_t count = read(fd_.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return file_error(errno, "read", destination_->partial());
    if (count == 0) break;
    hasher_.update(buffer.data(), static_cast<size_t>(count));
    written_ += static_cast<uint64_t>(count);
    session.report(PullStage::kVerify, remote_->item, written_, resumed_);
  }
  resumed_ = written_;
  return {};
}

Result<void> PartialFile::append(std::string_view bytes) {
  if (const Result<void> written = write_all(fd_.get(), bytes, destination_->partial());
      !written.ok())
    return fail(written.error().code,
                written.error().message + "; what was fetched is kept, and the next pull goes on",
                written.error().param);
  hasher_.update(bytes.data(), bytes.size());
  written_ += bytes.size();
  return {};
}

Result<void> PartialFile::restart() {
  if (ftruncate(fd_.get(), 0) != 0 || lseek(fd_.get(), 0, SEEK_SET) != 0)
    return file_error(errno, "empty", destination_->partial());
  hasher_ = Hasher(remote_->kind, remote_->bytes);
  written_ = resumed_ = 0;
  return {};
}

Result<void> PartialFile::commit() {
  const std::filesystem::path partial = destination_->partial();
  const std::string hex = hasher_.finish();
  if (hex != remote_->hex) {
    RETURN_IF_ERROR(restart());
    unlink(partial.c_str());
    return fail(
        Code::kInvalidFile,
        fmt::format("[hub] {}: expected the hash {}, but what came has {}; nothing of it is "
                    "kept",
                    remote_->item, remote_->hex, hex),
        remote_->item);
  }
  if (fsync(fd_.get()) != 0) return file_error(errno, "write", partial);
  if (rename(partial.c_str(), destination_->path.c_str()) != 0)
    return file_error(errno, "rename", partial);
  return {};
}

}  // namespace pippin::hub
