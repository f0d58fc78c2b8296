#include "store/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace pippin::store {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

Error open_error(const std::string& path, int error) {
  const Code code = error == ENOENT || error == ENOTDIR ? Code::kNotFound
                    : error == EACCES || error == EPERM ? Code::kPermissionDenied
                                                        : Code::kUnavailable;
  return fail(code, fmt::format("[store] {} cannot be read: {}", path, reason(error)), path);
}

struct Descriptor {
  int fd;
  ~Descriptor() { ::close(fd); }
};

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  // O_NONBLOCK: opening a named pipe must not wait for its writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return open_error(path, errno);
  const Descriptor closer{fd};  // the mapping outlives the descriptor

  struct stat status {};
  if (::fstat(fd, &status) != 0) return open_error(path, errno);
  if (!S_ISREG(status.st_mode)) {
    return fail(Code::kInvalidFile, fmt::format("[store] {}: expected a regular file", path), path);
  }
  if (status.st_size <= 0) {
    return fail(Code::kInvalidFile, fmt::format("[store] {}: the file is empty", path), path);
  }
  const auto size = static_cast<size_t>(status.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (address == MAP_FAILED) {
    return fail(Code::kUnavailable,
                fmt::format("[store] {}: mapping {} bytes failed: {}", path, size, reason(errno)),
                path);
  }
  return MappedFile({static_cast<const std::byte*>(address), size});
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);  // the old mapping goes with `other`
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace pippin::store
