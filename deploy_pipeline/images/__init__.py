"""Container images: what a reference names, where manifests name them, and whether their registries have them."""

from deploy_pipeline.images.checking import Existence, existence
from deploy_pipeline.images.in_manifests import NamedImage, images_in, with_images
from deploy_pipeline.images.reference import ImageReference
from deploy_pipeline.images.registries import Registries

__all__ = ["Existence", "ImageReference", "NamedImage", "Registries", "existence", "images_in", "with_images"]
