//! A source whose every block says which file of which generation it is.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use restock_testkit::random::Random;

const FILES: u64 = 40;
const BLOCK_BYTES: usize = 4096;
const BLOCKS_MAX: u64 = 60;

/// How a file looks; the same for the source and for readers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape;

/// The source.
#[derive(Debug)]
pub(super) struct Content {
    folder: PathBuf,
    generations: Vec<u32>,
}

impl Shape {
    /// How many files there are.
    pub(super) fn files(self) -> u64 {
        FILES
    }

    pub(super) fn name(self, file: u64) -> String {
        format!("f{file:02}")
    }

    fn block(self, file: u64, generation: u32, block: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        bytes.extend_from_slice(&file.to_le_bytes());
        bytes.extend_from_slice(&u64::from(generation).to_le_bytes());
        bytes.extend_from_slice(&block.to_le_bytes());
        // A third of the blocks is the same in the next generation but for its stamp.
        let noise = if block.is_multiple_of(3) { 0 } else { u64::from(generation) };
        let seed = file << 40 | block << 20 | noise;
        bytes.extend(Random::new(seed).bytes(BLOCK_BYTES - 24));
        bytes
    }

    fn bytes(self, file: u64, generation: u32) -> Vec<u8> {
        let blocks = 1 + (file * 7) % BLOCKS_MAX;
        (0..blocks).flat_map(|block| self.block(file, generation, block)).collect()
    }

    /// The generations that a body is made of, block by block without repetition.
    ///
    /// Errors: bytes that no generation of this file has.
    pub(super) fn generations(self, file: u64, body: &[u8]) -> Result<Vec<u32>> {
        ensure!(body.len() == self.bytes(file, 1).len(), "file {file} has {} bytes", body.len());
        let mut seen = Vec::new();
        for (index, block) in body.chunks(BLOCK_BYTES).enumerate() {
            let stamp = u64::from_le_bytes(block[8..16].try_into()?);
            let generation = u32::try_from(stamp)?;
            ensure!(
                block == self.block(file, generation, index as u64),
                "block {index} of file {file} is wrong"
            );
            if seen.last() != Some(&generation) {
                seen.push(generation);
            }
        }
        Ok(seen)
    }
}

impl Content {
    pub(super) fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir(folder)?;
        let content = Self { folder: folder.to_owned(), generations: vec![1; FILES as usize] };
        (0..FILES).try_for_each(|file| content.write(file))?;
        Ok(content)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn shape(&self) -> Shape {
        Shape
    }

    /// The generation of a file in the source.
    pub(super) fn generation(&self, file: u64) -> u32 {
        self.generations[file as usize]
    }

    /// Raises the generation of some files, each in one step.
    pub(super) fn edit(&mut self, random: &mut Random) -> Result<()> {
        for _ in 0..3 {
            let file = random.below(FILES);
            self.generations[file as usize] += 1;
            self.write(file)?;
        }
        Ok(())
    }

    fn write(&self, file: u64) -> Result<()> {
        let bytes = Shape.bytes(file, self.generation(file));
        let aside = self.folder.with_extension("new");
        std::fs::write(&aside, bytes)?;
        std::fs::rename(&aside, self.folder.join(Shape.name(file)))?;
        Ok(())
    }
}

#[test]
fn a_body_tells_its_generations_and_what_is_wrong_in_it() {
    let file = 5;
    let (old, new) = (Shape.bytes(file, 1), Shape.bytes(file, 2));
    assert_eq!(Shape.generations(file, &new).expect("right bytes"), [2]);
    let mixed = [&old[..BLOCK_BYTES], &new[BLOCK_BYTES..]].concat();
    assert_eq!(Shape.generations(file, &mixed).expect("right blocks"), [1, 2]);
    let mut wrong = new.clone();
    wrong[BLOCK_BYTES + 1_000] ^= 1;
    assert!(Shape.generations(file, &wrong).is_err());
    assert!(Shape.generations(file + 1, &new).is_err());
}
