//! What comes with a task besides its program: files to fetch, secrets, folders in memory.

use lonja_model::container::Volume;
use lonja_model::files::{Secret, Uri, VolumeSource};

use super::Task;

impl Task {
    /// A file that is brought into the sandbox before the program starts.
    #[must_use]
    pub fn fetch(mut self, uri: Uri) -> Self {
        self.command.uris.push(uri);
        self
    }

    /// A variable of its environment that nobody else is shown.
    #[must_use]
    pub fn secret_env(mut self, name: impl Into<String>, secret: Secret) -> Self {
        let name = name.into();
        self.command.environment.remove(&name);
        self.command.secrets.insert(name, secret);
        self
    }

    /// A secret as a file in memory that only the task's user reads. A relative path is below the sandbox.
    #[must_use]
    pub fn secret_file(self, inside: impl Into<String>, secret: Secret) -> Self {
        self.shows(VolumeSource::Secret(secret), inside.into(), true)
    }

    /// An empty folder in memory, which counts as the task's memory; of at most `size` bytes.
    #[must_use]
    pub fn tmpfs(self, inside: impl Into<String>, size: Option<u64>) -> Self {
        self.shows(VolumeSource::Tmpfs { size }, inside.into(), false)
    }

    /// A folder of its own sandbox, shown at another place inside.
    #[must_use]
    pub fn sandbox_folder(self, folder: impl Into<String>, inside: impl Into<String>) -> Self {
        self.shows(VolumeSource::Sandbox(folder.into()), inside.into(), false)
    }

    fn shows(mut self, source: VolumeSource, container_path: String, read_only: bool) -> Self {
        self.container.volumes.push(Volume { source, container_path, read_only });
        self
    }
}
