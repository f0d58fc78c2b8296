#include "hub/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace pippin::hub {
namespace {

namespace fs = std::filesystem;

constexpr auto kLockPause = std::chrono::milliseconds(100);

/// One try. Returns an empty Fd while another holds the lock.
Result<Fd> try_lock(const fs::path& file) {
  Fd fd(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0664));
  if (fd.get() < 0) return file_error(errno, "open the lock", file);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK || errno == EAGAIN || errno == EINTR) return Fd();
    return file_error(errno, "lock", file);
  }
  struct stat status = {};
  // A lock on a file that was removed meanwhile guards nothing.
  if (fstat(fd.get(), &status) != 0 || status.st_nlink == 0) return Fd();
  return fd;
}

}  // namespace

Result<FileLock> FileLock::take(const fs::path& file, const Cancel& cancel,
                                const std::function<void()>& waiting) {
  RETURN_IF_ERROR(make_folders(file.parent_path()));
  for (bool told = false;;) {
    ASSIGN_OR_RETURN(Fd fd, try_lock(file));
    if (fd.get() >= 0) return FileLock(std::move(fd));
    if (!told && waiting) waiting();
    told = true;
    if (cancel.wait_for(kLockPause)) return fail(Code::kCancelled, "[hub] cancelled");
  }
}

Result<FileLock> FileLock::try_take(const fs::path& file) {
  RETURN_IF_ERROR(make_folders(file.parent_path()));
  ASSIGN_OR_RETURN(Fd fd, try_lock(file));
  if (fd.get() >= 0) return FileLock(std::move(fd));
  return fail(Code::kUnavailable,
              fmt::format("[hub] another process fetches it: {} is locked", file.string()));
}

}  // namespace pippin::hub
