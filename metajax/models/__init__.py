"""Recommenders as two towers and a head, built from the feature columns; `model` lifts parts of your own."""

from metajax.models.adapter import Linen as Linen
from metajax.models.adapter import Part as Part
from metajax.models.adapter import Pure as Pure
from metajax.models.adapter import lift as lift
from metajax.models.adapter import model as model
from metajax.models.deepfm import deepfm as deepfm
from metajax.models.embeddings import ColumnEmbeddings as ColumnEmbeddings
from metajax.models.embeddings import example as example
from metajax.models.embeddings import item_width as item_width
from metajax.models.embeddings import user_width as user_width
from metajax.models.factorization_machine import factorization_machine as factorization_machine
from metajax.models.linear import linear as linear
from metajax.models.matrix_factorization import matrix_factorization as matrix_factorization
from metajax.models.neumf import neumf as neumf
from metajax.models.two_tower import two_tower as two_tower
