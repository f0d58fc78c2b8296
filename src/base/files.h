// Files as the program writes them: whole or not at all. Thread: any.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pippin {

/// Returns "cannot WHAT PATH: REASON" for an errno; a full disk is named as one.
Error file_error(int number, std::string_view what, const std::filesystem::path& path);

/// Owns a file descriptor.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();
  int get() const { return fd_; }
  int release();

 private:
  int fd_;
};

bool is_regular(const std::filesystem::path& path);
/// The size of a file behind any links; 0 where there is none.
uint64_t bytes_of(const std::filesystem::path& path);
/// Returns the names of the regular files in a folder, links to such among them.
std::vector<std::string> names_in(const std::filesystem::path& folder);
Result<void> make_folders(const std::filesystem::path& folder);
/// Returns a name beside `path` that no other call of this or another process has.
std::filesystem::path name_beside(const std::filesystem::path& path);
/// Reads a whole file. Errors: kNotFound; kTooLarge; kUnavailable.
Result<std::string> read_file(const std::filesystem::path& path, size_t bytes_max);
/// Writes by way of a second file and a rename; makes the folders above.
Result<void> write_file(const std::filesystem::path& path, std::string_view bytes);
/// Writes all of it at the descriptor's place. Errors: kUnavailable.
Result<void> write_all(int fd, std::string_view bytes, const std::filesystem::path& path);
/// Puts a relative symbolic link in place, whatever was there.
Result<void> write_link(const std::filesystem::path& path, const std::filesystem::path& target);
/// Returns what an unprivileged process may still write to the disk of `path`, or of the nearest
/// folder above it that exists.
uint64_t free_bytes(const std::filesystem::path& path);
/// Returns a path with its links resolved as far as it exists, to compare files by.
std::filesystem::path real_path(const std::filesystem::path& path);

}  // namespace pippin
