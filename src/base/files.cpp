#include "base/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/size_text.h"

namespace pippin {

namespace fs = std::filesystem;

Error file_error(int number, std::string_view what, const fs::path& path) {
  const bool full = number == ENOSPC || number == EDQUOT || number == EFBIG;
  const Code code = number == EACCES || number == EPERM || number == EROFS ? Code::kPermissionDenied
                    : number == ENOENT                                     ? Code::kNotFound
                                                                           : Code::kUnavailable;
  std::string message = fmt::format("[files] cannot {} {}: {}", what, path.string(),
                                    full ? "the disk is full" : std::strerror(number));
  if (full) {
    message += fmt::format(" ({}; {} are free)", std::strerror(number),
                           size_text(static_cast<double>(free_bytes(path))));
  }
  return fail(code, std::move(message), path.string());
}

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = other.release();
  }
  return *this;
}
Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}
int Fd::release() { return std::exchange(fd_, -1); }

fs::path name_beside(const fs::path& path) {
  static std::atomic<uint64_t> count{0};
  // Process numbers come again; what was left behind by one that was killed must not be in the way.
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  return fmt::format("{}.{}-{:x}-{}.new", path.string(), getpid(), now, count++);
}

bool is_regular(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

uint64_t bytes_of(const fs::path& path) {
  std::error_code error;
  const uint64_t bytes = fs::file_size(path, error);
  return error ? 0 : bytes;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error))
    if (is_regular(entry->path())) names.push_back(entry->path().filename().string());
  return names;
}

Result<void> make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  std::error_code ignored;
  if (error && !fs::is_directory(folder, ignored))
    return file_error(error.value(), "make the folder", folder);
  return {};
}

Result<std::string> read_file(const fs::path& path, size_t bytes_max) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return file_error(errno, "open", path);
  std::string bytes;
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = read(fd.get(), buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return file_error(errno, "read", path);
    if (count == 0) return bytes;
    bytes.append(buffer, static_cast<size_t>(count));
    if (bytes.size() > bytes_max)
      return fail(Code::kTooLarge, fmt::format("[files] {}: expected at most {}", path.string(),
                                               size_text(static_cast<double>(bytes_max))));
  }
}

Result<void> write_all(int fd, std::string_view bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return file_error(errno, "write to", path);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return {};
}

Result<void> write_file(const fs::path& path, std::string_view bytes) {
  RETURN_IF_ERROR(make_folders(path.parent_path()));
  const fs::path beside = name_beside(path);
  const Fd fd(open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (fd.get() < 0) return file_error(errno, "write", path);
  Result<void> written = write_all(fd.get(), bytes, path);
  if (written.ok() && fsync(fd.get()) != 0) written = file_error(errno, "write", path);
  if (written.ok() && rename(beside.c_str(), path.c_str()) != 0)
    written = file_error(errno, "write", path);
  if (!written.ok()) unlink(beside.c_str());
  return written;
}

Result<void> write_link(const fs::path& path, const fs::path& target) {
  RETURN_IF_ERROR(make_folders(path.parent_path()));
  const fs::path beside = name_beside(path);
  if (symlink(target.c_str(), beside.c_str()) != 0) return file_error(errno, "link", path);
  if (rename(beside.c_str(), path.c_str()) == 0) return {};
  const int number = errno;
  unlink(beside.c_str());
  return file_error(number, "link", path);
}

uint64_t free_bytes(const fs::path& path) {
  fs::path folder = path;
  struct statvfs status = {};
  while (statvfs(folder.c_str(), &status) != 0) {
    const fs::path above = folder.parent_path();
    if (above == folder || above.empty()) return 0;
    folder = above;
  }
  return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
}

fs::path real_path(const fs::path& path) {
  std::error_code error;
  fs::path real = fs::weakly_canonical(path, error);
  return error ? path : real;
}

}  // namespace pippin
