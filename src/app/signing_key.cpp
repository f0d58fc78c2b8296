#include "app/signing_key.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "app/chat.h"
#include "base/log.h"

namespace pippin::app {
namespace {

constexpr size_t kKeyBytes = 32;

/// A file that is open.
class File {
 public:
  File(const std::filesystem::path& path, int flags)
      : descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  bool is_open() const { return descriptor_ >= 0; }
  // So few bytes come and go as a whole.
  bool read_all(std::string& bytes) const {
    std::string more(bytes.size() + 1, '\0');
    const ssize_t count = ::read(descriptor_, more.data(), more.size());
    bytes = more.substr(0, bytes.size());
    return count == static_cast<ssize_t>(bytes.size());
  }
  bool write_all(const std::string& bytes) const {
    return ::write(descriptor_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) &&
           ::fsync(descriptor_) == 0;
  }

 private:
  const int descriptor_;
};

// Two processes may start at once: the one whose file stands first has made the key.
bool make_key(const std::filesystem::path& path, std::string& key) {
  std::error_code ignored;
  std::filesystem::create_directories(path.parent_path(), ignored);
  if (::getentropy(key.data(), key.size()) != 0) return false;
  const std::filesystem::path made = path.string() + "." + std::to_string(::getpid());
  const bool written = [&] {
    const File file(made, O_WRONLY | O_CREAT | O_TRUNC);
    return file.is_open() && file.write_all(key);
  }();
  const bool first = written && ::link(made.c_str(), path.c_str()) == 0;
  const bool second = written && !first && errno == EEXIST;
  std::filesystem::remove(made, ignored);
  if (first || !second) return first;
  const File other(path, O_RDONLY);
  return other.is_open() && other.read_all(key);
}

}  // namespace

std::string signing_key(const Settings& settings, const Environment& environment) {
  if (settings.signing_key_path == "off") return {};
  std::filesystem::path path = settings.signing_key_path;
  if (path.empty()) path = history_file(environment).replace_filename("signing.key");
  std::string key(kKeyBytes, '\0');
  const File file(path, O_RDONLY);
  const bool there = file.is_open();
  if (there ? file.read_all(key) : errno == ENOENT && make_key(path, key)) return key;
  log::warn("[signing] {} cannot be used as a key of {} bytes; this run signs with one of its own",
            path.string(), kKeyBytes);
  return {};
}

}  // namespace pippin::app
